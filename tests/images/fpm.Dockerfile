# The example application behind FastCGI.
ARG BASE=php:8-fpm
FROM ${BASE}
WORKDIR /app
COPY fpm.conf app.php index.php ./
RUN mkdir -p /data && chown www-data:www-data /data \
    && printf '#!/bin/sh\nexec php -r "exit(@fsockopen(\\"127.0.0.1\\", 9000) ? 0 : 1);"\n' >healthcheck && chmod 755 healthcheck
VOLUME /data
EXPOSE 9000
# php-fpm lets the running requests finish on this one.
STOPSIGNAL SIGQUIT
ENTRYPOINT []
CMD ["sh", "-c", "exec \"$(command -v php-fpm || ls /usr/sbin/php-fpm*)\" -F -y /app/fpm.conf"]
