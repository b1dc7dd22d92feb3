# Listens for a moment and dies.
ARG BASE
FROM ${BASE}
CMD ["sh", "-c", "./serve & sleep 0.8; exit 1"]
