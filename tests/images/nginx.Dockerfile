# Debian's nginx as the public image is: it needs no command, and nothing listens until a file in conf.d says so.
ARG BASE
FROM ${BASE}
RUN rm -f /etc/nginx/sites-enabled/default && ln -sf /dev/stderr /var/log/nginx/error.log \
    && ln -sf /dev/stdout /var/log/nginx/access.log && sed -i '/^daemon /d' /etc/nginx/nginx.conf
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
