# A browser without a screen, to open the pages that swap writes.
ARG BASE
FROM ${BASE}
# A mirror may be behind; the keys of its lists are looked at all the same.
RUN echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/behind && apt-get update \
    && apt-get install -y --no-install-recommends chromium && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
