"""Talks over websockets for a while: `converse.py URI CONNECTIONS SECONDS`.

Each connection sends a line ten times a second for one to four seconds, expects it back, and is closed in order; then
the next one is opened. Prints `N conversations, N lines, N failed`, and each failure on a line of its own before.
"""
import asyncio
import random
import ssl
import sys
import time

from websockets.asyncio.client import connect

uri, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + min(seconds, 3600)
counted = {'conversations': 0, 'lines': 0, 'failed': 0}
# The certificate is the test's own.
context = ssl._create_unverified_context() if uri.startswith('wss') else None


async def converse(name):
    number = 0
    while time.monotonic() < end:
        over = time.monotonic() + random.uniform(1, 4)
        try:
            async with connect(uri, ssl=context, open_timeout=10, close_timeout=10) as socket:
                while time.monotonic() < over:
                    number += 1
                    line = f'{name} {number}'
                    await socket.send(line)
                    answer = await asyncio.wait_for(socket.recv(), 10)
                    if answer != line:
                        raise ValueError(f'{line!r} came back as {answer!r}')
                    counted['lines'] += 1
                    await asyncio.sleep(0.1)
            counted['conversations'] += 1
        except Exception as error:
            counted['failed'] += 1
            print(f'{type(error).__name__}: {error}', flush=True)


async def main():
    await asyncio.gather(*(converse(name) for name in range(connections)))


asyncio.run(main())
print('{conversations} conversations, {lines} lines, {failed} failed'.format(**counted))
