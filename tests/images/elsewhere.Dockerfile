# Listens on another port than the version before.
ARG BASE
FROM ${BASE}
RUN sed -i 's/^Listen 80$/Listen 8080/' apache.conf
