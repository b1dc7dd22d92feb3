<?php
// The example application with a database. A version of it is a few constants, in examples/postgres/sources.

const CACHE = '/tmp/report.json';

if (PHP_SAPI !== 'cli') {
    serve(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
}

function serve(string $path): void
{
    header('X-Version: ' . VERSION);
    header('Cache-Control: no-store');
    try {
        if ($path === '/up') {
            up();
        } elseif (FAILING > 0 && mt_rand() / mt_getrandmax() < FAILING) {
            answer(500, ['error' => VERSION . ' failed, as it does']);
        } else {
            match ($path) {
                '/', '/version' => answer(200, ['version' => VERSION, 'host' => gethostname()]),
                '/notes' => $_SERVER['REQUEST_METHOD'] === 'POST' ? addNote() : notes(),
                '/report' => report(),
                default => answer(404, ['error' => "no $path here"]),
            };
        }
    } catch (PDOException $problem) {
        answer(503, ['error' => $problem->getMessage()]);
    }
}

// GET /up is 503 until the database has the schema that this version needs.
function up(): void
{
    $schema = schemaVersion(database());
    $ready = $schema >= SCHEMA;
    answer($ready ? 200 : 503, [
        'status' => $ready ? 'ok' : 'schema too old',
        'version' => VERSION,
        'schema' => $schema,
    ]);
}

// POST /notes with the text as the body, and from v2 on with ?author=.
function addNote(): void
{
    $body = trim(file_get_contents('php://input'));
    $author = $_GET['author'] ?? 'nobody';
    if (SCHEMA >= 2) {
        $insert = database()->prepare('INSERT INTO notes (body, author) VALUES (?, ?) RETURNING id');
        $insert->execute([$body, $author]);
    } else {
        $insert = database()->prepare('INSERT INTO notes (body) VALUES (?) RETURNING id');
        $insert->execute([$body]);
    }
    answer(200, ['id' => $insert->fetchColumn()]);
}

// GET /notes answers the newest ten.
function notes(): void
{
    $columns = SCHEMA >= 2 ? 'id, body, author' : 'id, body';
    answer(200, database()->query("SELECT $columns FROM notes ORDER BY id DESC LIMIT 10")->fetchAll());
}

// GET /report is slow the first time in each container: what a warm-up is for. X-Cache tells.
function report(): void
{
    $cached = @file_get_contents(CACHE);
    header('X-Cache: ' . ($cached === false ? 'miss' : 'hit'));
    if ($cached === false) {
        usleep(500_000);
        $cached = json_encode(database()->query('SELECT count(*) AS notes, max(id) AS last FROM notes')->fetch());
        file_put_contents(CACHE . getmypid(), $cached);
        rename(CACHE . getmypid(), CACHE);
    }
    answer(200, json_decode($cached, true));
}

function database(): PDO
{
    $host = getenv('POSTGRES_HOST') ?: 'db';
    $name = getenv('POSTGRES_DB');
    return new PDO("pgsql:host=$host;dbname=$name;connect_timeout=2", getenv('POSTGRES_USER'), getenv('POSTGRES_PASSWORD'), [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
    ]);
}

function schemaVersion(PDO $database): int
{
    return (int) $database->query('SELECT version FROM schema')->fetchColumn();
}

function answer(int $status, array $value): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($value), "\n";
}
