/** Entries of the tree whose bodies are named exports of a file. */
import type { Command, CommandEntry, CommandGroup, CommandRecord } from '../../common/command.ts';

/** @param load imports the file and picks the command, when it is run. */
export const leaf = (
  description: string,
  load: () => Promise<Command>,
  aliases?: readonly string[],
): CommandEntry => ({ description, aliases, load: async () => ({ default: await load() }) });

export const group = (
  description: string,
  commands: CommandRecord,
  aliases?: readonly string[],
): CommandGroup => ({ description, aliases, commands });
