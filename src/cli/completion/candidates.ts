/** What could come next on an unfinished command line. */
import type { CommandRecord, OptionSpecs } from '../../common/command.ts';
import { isGroup, loadCommands, rootOptions } from '../framework/program.ts';

export interface Candidate {
  readonly text: string;
  readonly description: string;
}

function optionCandidates(specs: OptionSpecs, prefix: string): Candidate[] {
  const found: Candidate[] = [];
  for (const spec of Object.values(specs)) {
    if (spec.hidden) continue;
    for (const text of spec.flags) {
      if (text.startsWith(prefix)) found.push({ text, description: spec.description });
    }
  }
  if ('--help'.startsWith(prefix)) {
    found.push({ text: '--help', description: 'Show this message and exit.' });
  }
  return found;
}

const takesValue = (specs: OptionSpecs, word: string): boolean =>
  Object.values(specs).some((spec) => spec.metavar !== null && spec.flags.includes(word));

function commandCandidates(commands: CommandRecord, prefix: string): Candidate[] {
  return Object.entries(commands)
    .filter(([, entry]) => !entry.hidden)
    .flatMap(([name, entry]) =>
      [name, ...(entry.aliases ?? [])].map((text) => ({ text, description: entry.description })),
    )
    .filter(({ text }) => text.startsWith(prefix));
}

function findEntry(commands: CommandRecord, word: string) {
  return Object.entries(commands).find(
    ([name, entry]) => name === word || entry.aliases?.includes(word),
  )?.[1];
}

/**
 * @param words what follows the program's name; the last one is the one being typed.
 * @returns nothing where a file name or free text is expected.
 */
export async function candidates(
  root: CommandRecord,
  words: readonly string[],
): Promise<Candidate[]> {
  const typed = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  let commands = root;
  let options: OptionSpecs = rootOptions;
  for (let index = 0; index < typed.length; index++) {
    const word = typed[index] ?? '';
    if (word.startsWith('-')) {
      if (takesValue(options, word)) index += 1;
      if (index >= typed.length) return [];
      continue;
    }
    const entry = findEntry(commands, word);
    if (entry === undefined) return [];
    if (!isGroup(entry)) {
      const command = (await entry.load()).default;
      const rest = typed.slice(index + 1);
      if (takesValue(command.options, rest.at(-1) ?? '')) return [];
      return current.startsWith('-') ? optionCandidates(command.options, current) : [];
    }
    commands = await loadCommands(entry);
    options = entry.options ?? {};
  }
  return current.startsWith('-')
    ? optionCandidates(options, current)
    : commandCandidates(commands, current);
}
