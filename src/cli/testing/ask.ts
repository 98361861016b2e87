/** A program for the test of prompts: asks for a line, a hidden line, a yes, a line and a key. */
import { processIo } from '../framework/io.ts';
import { askHiddenLine, askLine, confirm, LineReader, readKey } from '../framework/prompt.ts';

const io = processIo();
const lines = new LineReader();
const first = await askLine(io, lines, 'first> ');
const hidden = await askHiddenLine(io, lines, 'hidden> ');
const sure = await confirm(io, lines, 'sure?');
const last = await askLine(io, lines, 'last> ');
const key = await readKey(io, 'key:');
io.stdout.write(`${JSON.stringify([first, hidden, sure, last, key])}\n`);
process.exit(0);
