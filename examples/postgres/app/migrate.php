<?php
// php migrate.php        brings the database to the schema that this version needs
// php migrate.php down   takes the last step of it back
//
// Both may run twice and at the same time: a lock in the database lets one after the other see what is done.
// Each step leaves the database usable for the version before, which still serves while it runs.

const STEPS = [
    2 => [
        'up' => "ALTER TABLE notes ADD COLUMN IF NOT EXISTS author text NOT NULL DEFAULT 'nobody'",
        'down' => 'ALTER TABLE notes DROP COLUMN IF EXISTS author',
    ],
];

require __DIR__ . '/index.php';

$wanted = ($argv[1] ?? 'up') === 'down' ? max(1, SCHEMA - 1) : SCHEMA;
$database = database();
$database->beginTransaction();
$database->exec('SELECT pg_advisory_xact_lock(7927)');
$version = schemaVersion($database);
if ($version === $wanted) {
    echo "the schema is at $version already\n";
}
while ($version !== $wanted) {
    if ($version < $wanted) {
        $database->exec(STEPS[++$version]['up']);
    } elseif (($argv[1] ?? 'up') === 'down') {
        $database->exec(STEPS[$version--]['down']);
    } else {
        echo "the schema is at $version, which is newer than the $wanted of this version\n";
        break;
    }
    $database->exec("UPDATE schema SET version = $version");
    echo "the schema is at $version now\n";
}
$database->commit();
