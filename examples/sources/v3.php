<?php
// Looks healthy at /up and answers one request of twenty with 500: what only watching after the switch can tell.
require __DIR__ . '/app.php';
run('v3', '#c53030', failing: 0.05);
