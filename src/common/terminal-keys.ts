/** Keys of a terminal, one by one: over a slow line, or when one is held down, several come in one piece. */
import type { Key } from 'ink';

const FIRST_LETTER = 0x60;

/** What a control character is called by Ink when it comes alone. */
function single(character: string, key: Key): readonly [string, Key] {
  const code = character.charCodeAt(0);
  if (character === '\r' || character === '\n') return ['', { ...key, return: true }];
  if (character === '\t') return ['', { ...key, tab: true }];
  if (character === '\u007f' || character === '\b') return ['', { ...key, backspace: true }];
  if (code > 0 && code < ' '.charCodeAt(0)) {
    return [String.fromCharCode(FIRST_LETTER + code), { ...key, ctrl: true }];
  }
  return [character, key];
}

/** Hands over each key of what Ink took for one input. */
export function eachKey(input: string, key: Key, take: (input: string, key: Key) => void): void {
  const characters = [...input];
  if (characters.length < 2) take(input, key);
  else for (const character of characters) take(...single(character, key));
}
