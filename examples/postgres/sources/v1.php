<?php
const VERSION = 'v1';
const SCHEMA = 1;
const FAILING = 0.0;
require __DIR__ . '/app.php';
