<?php
require __DIR__ . '/app.php';
run('v2', '#2f855a');
