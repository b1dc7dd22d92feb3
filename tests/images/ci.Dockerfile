# Both ends of a deployment: the machine on which a CI runs its steps, and the server that it reaches by ssh.
ARG BASE
ARG COMPOSE
FROM ${COMPOSE} AS compose
FROM ${BASE}
# A mirror may be behind; the keys of its lists are looked at all the same.
RUN echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/behind && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl git openssh-client openssh-server sudo \
    && { apt-get install -y --no-install-recommends docker-cli || apt-get install -y --no-install-recommends docker.io; } \
    && rm -rf /var/lib/apt/lists/* && mkdir -p /run/sshd
COPY --from=compose /docker-compose /usr/libexec/docker/cli-plugins/docker-compose
RUN useradd --create-home --shell /bin/bash deploy \
    && useradd --create-home --shell /bin/bash runner && echo "runner ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/runner
ENTRYPOINT []
