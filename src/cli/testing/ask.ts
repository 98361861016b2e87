/** A program for the test of prompts: asks for a line, a hidden line, a line and a key. */
import { processIo } from '../framework/io.ts';
import { LineReader, readHiddenLine, readKey } from '../framework/prompt.ts';

const io = processIo();
const lines = new LineReader();
io.stdout.write('first> ');
const first = await lines.next();
const secret = readHiddenLine(io);
io.stdout.write('hidden> ');
const hidden = await secret;
io.stdout.write('last> ');
const last = await lines.next();
const key = await readKey(io, 'key:');
io.stdout.write(`${JSON.stringify([first, hidden, last, key])}\n`);
process.exit(0);
