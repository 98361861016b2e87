#!/usr/bin/env bun
/** Entry point: the root of the command tree. Groups are loaded when they are named. */
import { main } from '../src/cli/main.ts';
import { clientCommands } from '../src/cli/tree.ts';
import type { CommandRecord } from '../src/common/command.ts';
import { VERSION } from '../src/common/version.ts';

const commands: CommandRecord = {
  ...clientCommands(() => commands),
};

// No top-level await: the bytecode compiler does not take it.
void main(commands, VERSION);
