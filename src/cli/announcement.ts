/** The server's announcement, shown on stderr until its reader dismisses it. */
import { createHash } from 'node:crypto';
import type { Client } from '../client/index.ts';
import type { CommandIo } from '../common/command.ts';
import { wrapText } from './framework/help.ts';
import { rememberAnnouncement, seenAnnouncement } from './state.ts';

/** Longest that a command waits for the announcement before it does its work. Milliseconds. */
const PATIENCE_MS = 3_000;
const MAX_WIDTH = 82;
/** Borders and the spaces beside them. Characters. */
const FRAME_CHARS = 4;
const TITLE = ' Server Announcement ';
/** Control characters could do more to a terminal than be read. */
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g;

/** A frame around the text, as wide as the terminal allows. */
export function announcementPanel(message: string, columns: number): string {
  const width = Math.max(TITLE.length + FRAME_CHARS, Math.min(columns, MAX_WIDTH));
  const inner = width - FRAME_CHARS;
  const lines = message
    .replace(CONTROL, '')
    .trimEnd()
    .split('\n')
    .flatMap((line) => wrapText(line, inner));
  const dashes = width - 2 - TITLE.length;
  const left = Math.floor(dashes / 2);
  const row = (text: string) =>
    `│ ${text}${' '.repeat(Math.max(0, inner - Bun.stringWidth(text)))} │`;
  return [
    `╭${'─'.repeat(left)}${TITLE}${'─'.repeat(dashes - left)}╮`,
    ...lines.map(row),
    `╰${'─'.repeat(width - 2)}╯`,
    '',
  ].join('\n');
}

/** @throws ConnectionError when there is no server: the command need not find out once more. */
async function messageOf(client: Client): Promise<string | null> {
  await client.serverInfo();
  try {
    const { enabled, message } = await client.cluster.announcement({ timeoutMs: PATIENCE_MS });
    return enabled ? message : null;
  } catch {
    // Old servers have none, and whatever else is wrong the command itself will tell.
    return null;
  }
}

/**
 * Shows the announcement unless there is none or it has been dismissed.
 * @throws ConnectionError when there is no server.
 */
export async function showAnnouncement(io: CommandIo, client: Client): Promise<void> {
  const message = await messageOf(client);
  if (message === null || message.trim() === '') return;
  const hash = createHash('sha256').update(message).digest('hex');
  const seen = seenAnnouncement(io.env);
  const isNew = seen?.hash !== hash;
  if (!isNew && seen?.dismissed) return;
  io.stderr.write(announcementPanel(message, io.stderr.columns));
  if (!isNew) return;
  try {
    rememberAnnouncement(io.env, { hash, dismissed: false });
  } catch {
    // Where nothing can be kept the announcement is shown each time.
  }
}
