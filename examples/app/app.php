<?php
// The example application. Each version of it is a few lines in examples/sources that call run().

const IDS = '/data/ids';

function run(string $version, string $colour, float $failing = 0.0): void
{
    header("X-Version: $version");
    header('Cache-Control: no-store');
    $path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
    if ($path === '/up') {
        json(['status' => 'ok', 'version' => $version]);
        return;
    }
    if ($failing > 0 && mt_rand() / mt_getrandmax() < $failing) {
        refuse(500, "$version failed, as it does");
        return;
    }
    match ($path) {
        '/' => page($version, $colour),
        '/version' => text("$version\n"),
        '/slow' => slow($version),
        '/download' => download(),
        '/echo' => recordId(),
        '/ids' => recordedIds(),
        default => refuse(404, "no $path here"),
    };
}

function page(string $version, string $colour): void
{
    $host = htmlspecialchars(gethostname());
    header('Content-Type: text/html; charset=utf-8');
    echo <<<HTML
    <!doctype html>
    <title>swap example $version</title>
    <body style="font: 1.5rem sans-serif; background: $colour; color: white; text-align: center; padding-top: 20vh">
    <h1>Hello from $version</h1>
    <p>served by $host</p>

    HTML;
}

// GET /slow?ms=2000 answers after so many milliseconds.
function slow(string $version): void
{
    $ms = max(0, min(60_000, (int) ($_GET['ms'] ?? 2000)));
    $until = microtime(true) + $ms / 1000;
    // A signal to Apache ends a sleep early.
    while (($left = $until - microtime(true)) > 0) {
        usleep((int) ceil($left * 1e6));
    }
    text("$version after $ms ms\n");
}

// GET /download?mb=20 answers so many MiB: the bytes 0, 1, … 255, over and over. X-Sha256 is their checksum.
function download(): void
{
    $mb = max(0, min(1024, (int) ($_GET['mb'] ?? 20)));
    $chunk = str_repeat(implode('', array_map('chr', range(0, 255))), 256);
    $hash = hash_init('sha256');
    for ($i = 0; $i < $mb * 16; $i++) {
        hash_update($hash, $chunk);
    }
    header('Content-Type: application/octet-stream');
    header('Content-Length: ' . $mb * 1024 * 1024);
    header('X-Sha256: ' . hash_final($hash));
    for ($i = 0; $i < $mb * 16; $i++) {
        echo $chunk;
        flush();
    }
}

// POST /echo with an id, as the body or as ?id=, records the id before it answers it. An id that was lost or doubled
// between a client and the application shows in /ids.
function recordId(): void
{
    $id = trim($_GET['id'] ?? file_get_contents('php://input'));
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        refuse(405, 'POST it');
    } elseif (!preg_match('/^[\w.:-]{1,200}$/', $id)) {
        refuse(400, 'the body is an id: letters, digits and . : _ -');
    } elseif (file_put_contents(IDS, "$id\n", FILE_APPEND | LOCK_EX) === false) {
        refuse(500, 'the id could not be recorded');
    } else {
        text("$id\n");
    }
}

// GET /ids answers all recorded ids, one a line, in the order in which they came.
function recordedIds(): void
{
    text('');
    if (is_file(IDS)) {
        readfile(IDS);
    }
}

function json(array $value): void
{
    header('Content-Type: application/json');
    echo json_encode($value), "\n";
}

function text(string $text): void
{
    header('Content-Type: text/plain; charset=utf-8');
    echo $text;
}

function refuse(int $status, string $reason): void
{
    http_response_code($status);
    text("$reason\n");
}
