/** `mgr api` and `mgr gql`: descriptions of the API, made without a database or a running manager. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { printSchema } from 'graphql';
import { type CommandIo, defineCommand, flag, option } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { mergeModules } from '../graphql/engine.ts';
import { describeApi, graphqlModules } from '../main.ts';

const output = option(['-o', '--output'], 'FILE', 'Where to write it. [default: standard output]');

async function print(io: CommandIo, path: string | undefined, text: string): Promise<void> {
  if (path === undefined || path === '-') {
    io.stdout.write(text);
    return;
  }
  try {
    await writeFile(resolve(io.cwd, path), text);
  } catch (error) {
    throw new UserError(`Cannot write ${path}: ${errorMessage(error)}`, {
      hint: 'Name a file in a folder that this user may write to.',
      cause: error,
    });
  }
}

const graphqlSchema = () => `${printSchema(mergeModules(graphqlModules))}\n`;

export const dumpGraphqlSchema = defineCommand({
  help: 'Print the schema of the GraphQL API.',
  options: {
    output,
    v2: flag(['--v2'], 'No effect: the fields of both generations are in one schema.'),
  },
  async run({ options, io }) {
    await print(io, options.output, graphqlSchema());
    return 0;
  },
});

export const dumpOpenApi = defineCommand({
  help: 'Print the OpenAPI document of the REST API.',
  options: { output },
  async run({ options, io }) {
    await print(io, options.output, `${JSON.stringify(describeApi(), null, 2)}\n`);
    return 0;
  },
});

export const showGraphqlSchema = defineCommand({
  async run({ io }) {
    io.stderr.write("'mgr gql show' is deprecated; use 'mgr api dump-gql-schema'.\n");
    io.stdout.write(graphqlSchema());
    return 0;
  },
});
