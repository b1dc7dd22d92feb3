# Accepts every connection and breaks it off without an answer.
ARG BASE
FROM ${BASE}
RUN echo '<?php posix_kill(getmypid(), 9);' > index.php && php -r 'exit(function_exists("posix_kill") ? 0 : 1);'
