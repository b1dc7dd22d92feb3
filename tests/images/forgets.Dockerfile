# Looks healthy and has lost its pages: 404 to everybody.
ARG BASE
FROM ${BASE}
RUN echo '<?php require __DIR__ . "/app.php"; $_SERVER["REQUEST_URI"] === "/up" ? run("forgets", "black") : refuse(404, "lost");' >index.php
