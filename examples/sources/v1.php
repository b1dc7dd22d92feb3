<?php
require __DIR__ . '/app.php';
run('v1', '#2b6cb0');
