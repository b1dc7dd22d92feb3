# Answers well for a while, then accepts every request and answers none, as an application does whose pool is used up.
ARG BASE
FROM ${BASE}
RUN { \
    echo '<?php require __DIR__ . "/app.php";'; \
    echo '$file = fopen("/tmp/requests", "c+"); flock($file, LOCK_EX); $count = 1 + (int) stream_get_contents($file);'; \
    echo 'rewind($file); fwrite($file, (string) $count); flock($file, LOCK_UN);'; \
    echo 'if ($count > 8) { sleep(600); }'; \
    echo 'run("hangs", "black");'; \
    } >index.php
