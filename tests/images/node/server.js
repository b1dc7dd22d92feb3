'use strict';
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');

const version = process.env.VERSION;
const ids = '/data/ids';
// The bytes 0, 1, … 255, over and over.
const mebibyte = Buffer.from(Array.from({ length: 1024 * 1024 }, (_, at) => at % 256));

const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://app');
    const number = (name, usual) => Number(url.searchParams.get(name) ?? usual);
    response.setHeader('X-Version', version);
    response.setHeader('Cache-Control', 'no-store');
    const answer = (status, text) => {
        response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
        response.end(`${text}\n`);
    };
    switch (url.pathname) {
        case '/':
            return answer(200, `Hello from ${version}`);
        case '/up':
        case '/version':
            return answer(200, version);
        case '/slow':
            return setTimeout(() => answer(200, `${version} is done`), number('ms', 2000));
        case '/download':
            return download(response, number('mb', 20));
        case '/echo':
            return record(request, answer);
        case '/ids':
            return fs.readFile(ids, 'utf8', (error, text) => answer(200, error ? '' : text.trimEnd()));
        default:
            return answer(404, `no ${url.pathname} here`);
    }
});

function download(response, mb) {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': mb * mebibyte.length });
    let left = mb;
    const more = () => {
        while (left > 0) {
            left -= 1;
            if (!response.write(mebibyte)) {
                return response.once('drain', more);
            }
        }
        return response.end();
    };
    more();
}

// Both versions write to one file: a line that is appended at once is never torn.
function record(request, answer) {
    let id = '';
    request.setEncoding('utf8');
    request.on('data', (part) => { id += part; });
    request.on('end', () => {
        if (!/^[\w.:-]{1,200}$/.test(id)) {
            return answer(400, 'the body is an id');
        }
        return fs.appendFile(ids, `${id}\n`, (error) => (error ? answer(500, 'not recorded') : answer(200, id)));
    });
}

// Websockets, as RFC 6455 has them: each text comes back as it was, and who closes is answered.
server.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        + `Sec-WebSocket-Accept: ${accept}\r\nX-Version: ${version}\r\n\r\n`);
    socket.on('error', () => socket.destroy());
    let read = Buffer.alloc(0);
    socket.on('data', (part) => {
        read = Buffer.concat([read, part]);
        // Two bytes of head, four of mask; longer texts than 125 bytes are not for this application.
        while (read.length >= 6 && read.length >= 6 + (read[1] & 0x7f)) {
            const length = read[1] & 0x7f;
            const text = read.subarray(6, 6 + length).map((byte, at) => byte ^ read[2 + (at % 4)]);
            socket.write(Buffer.concat([Buffer.from([read[0], length]), text]));
            if ((read[0] & 0x0f) === 8) {
                return socket.end();
            }
            read = read.subarray(6 + length);
        }
    });
});

process.on('SIGTERM', () => server.close(() => process.exit(0)));
// Longer than nginx keeps an idle connection: who closes first must not be the one whom a request may reach just then.
server.keepAliveTimeout = 75_000;
server.listen(3000, () => console.log(`${version} listens on 3000`));
