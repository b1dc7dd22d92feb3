<?php
// Notes have an author now: a column that `php migrate.php` adds.
const VERSION = 'v2';
const SCHEMA = 2;
const FAILING = 0.0;
require __DIR__ . '/app.php';
