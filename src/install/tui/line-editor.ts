/** One line of text being typed: keys in, text and place of the cursor out. Pure. */
import type { Key } from 'ink';

export interface Draft {
  readonly text: string;
  /** Before which character the next one goes; the text's length at its end. */
  readonly at: number;
}

export const draftOf = (text: string): Draft => ({ text, at: text.length });

/** What may stand in a line: no line ends of something pasted, no sequences of keys nobody knows. */
const typed = (input: string): string => input.replaceAll(/\p{Cc}/gu, '');

/** Where the word before `at` begins: words end at spaces, commas and slashes. */
function wordStart(text: string, at: number): number {
  const before = text.slice(0, at).replace(/[\s,/]+$/, '');
  return before.length - (/[^\s,/]*$/.exec(before)?.[0].length ?? 0);
}

const insert = ({ text, at }: Draft, more: string): Draft => ({
  text: text.slice(0, at) + more + text.slice(at),
  at: at + more.length,
});

const cut = ({ text }: Draft, from: number, to: number): Draft => ({
  text: text.slice(0, from) + text.slice(to),
  at: from,
});

/** The usual keys of a shell's line. */
export function edit(draft: Draft, input: string, key: Key): Draft {
  const { text, at } = draft;
  if (key.leftArrow) return { text, at: Math.max(0, at - 1) };
  if (key.rightArrow) return { text, at: Math.min(text.length, at + 1) };
  if (key.home || (key.ctrl && input === 'a')) return { text, at: 0 };
  if (key.end || (key.ctrl && input === 'e')) return { text, at: text.length };
  // Terminals send DEL for backspace, which arrives here as delete.
  if (key.backspace || key.delete) return cut(draft, Math.max(0, at - 1), at);
  if (key.ctrl && input === 'u') return cut(draft, 0, at);
  if (key.ctrl && input === 'k') return { text: text.slice(0, at), at };
  if (key.ctrl && input === 'w') return cut(draft, wordStart(text, at), at);
  return key.ctrl || key.meta ? draft : insert(draft, typed(input));
}

/** How it is shown, with the cursor. @param isSecret whether only its length is. */
export function shownDraft({ text, at }: Draft, isSecret: boolean): string {
  const shown = isSecret ? '•'.repeat(text.length) : text;
  return at === shown.length ? `${shown}█` : `${shown.slice(0, at)}▏${shown.slice(at)}`;
}
