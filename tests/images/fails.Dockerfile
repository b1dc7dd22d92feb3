# Looks healthy and answers 500 to everybody.
ARG BASE
FROM ${BASE}
RUN echo '<?php require __DIR__ . "/app.php"; run("fails", "black", 1.0);' >index.php
