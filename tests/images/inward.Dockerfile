# Answers its own container only: its health check is content, nginx is not.
ARG BASE
FROM ${BASE}
RUN sed -i 's/^Listen 80$/Listen 127.0.0.1:80/' apache.conf
