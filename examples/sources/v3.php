<?php
// Looks healthy at /up and answers every twentieth other request with 500: what only watching after the switch can tell.
require __DIR__ . '/app.php';
run('v3', '#c53030', failing: isTwentieth() ? 1.0 : 0.0);

// Many processes answer, so they count in a file.
function isTwentieth(): bool
{
    if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/up') {
        return false;
    }
    $file = fopen('/tmp/requests', 'c+');
    flock($file, LOCK_EX);
    $count = 1 + (int) stream_get_contents($file);
    rewind($file);
    fwrite($file, (string) $count);
    return $count % 20 === 0;
}
