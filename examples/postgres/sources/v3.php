<?php
// Healthy at /up, and fails one request of twenty.
const VERSION = 'v3';
const SCHEMA = 2;
const FAILING = 0.05;
require __DIR__ . '/app.php';
