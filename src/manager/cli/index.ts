/** The commands of `backend.ai mgr`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../common/command.ts';
import { componentCommands } from '../../common/component-commands.ts';

const schema: CommandRecord = {
  oneshot: {
    description: 'Create all tables, or bring an older schema up to date.',
    load: async () => ({ default: (await import('./schema.ts')).oneshot }),
  },
  'set-aside': {
    description: 'Let an earlier version of this program run again on the present tables.',
    load: async () => ({ default: (await import('./schema.ts')).setAsideNewer }),
  },
  show: {
    description: 'Show which schema the database has.',
    load: async () => ({ default: (await import('./schema.ts')).show }),
  },
};

const fixture: CommandRecord = {
  'create-accounts': {
    description: 'Make the first accounts, with fresh secrets.',
    load: async () => ({ default: (await import('./fixture.ts')).createAccounts }),
  },
  populate: {
    description: 'Fill tables from a fixture file.',
    load: async () => ({ default: (await import('./fixture.ts')).populate }),
  },
};

const image: CommandRecord = {
  alias: {
    description: 'Give an image a short name.',
    load: async () => ({ default: (await import('./image.ts')).alias }),
  },
  dealias: {
    description: 'Remove a short name of an image.',
    load: async () => ({ default: (await import('./image.ts')).dealias }),
  },
  forget: {
    description: 'Take an image out of the catalogue.',
    load: async () => ({ default: (await import('./image.ts')).forget }),
  },
  inspect: {
    description: 'Show all that is known about an image.',
    load: async () => ({ default: (await import('./image.ts')).inspect }),
  },
  list: {
    description: 'List the images of the catalogue.',
    load: async () => ({ default: (await import('./image.ts')).list }),
  },
  purge: {
    description: 'Delete an image for good.',
    load: async () => ({ default: (await import('./image.ts')).purge }),
  },
  rescan: {
    description: 'Look for images and register them.',
    load: async () => ({ default: (await import('./image.ts')).rescan }),
  },
  'set-resource-limit': {
    description: 'Set what an image needs and takes of a resource.',
    load: async () => ({ default: (await import('./image.ts')).setResourceLimit }),
  },
  'validate-image-alias': {
    description: 'Check the labels of the image of an alias.',
    load: async () => ({ default: (await import('./image.ts')).validateAlias }),
  },
  'validate-image-canonical': {
    description: 'Check the labels of an image.',
    load: async () => ({ default: (await import('./image.ts')).validateCanonical }),
  },
};

/** The names under which these commands once were a part of `mgr etcd`. */
const OLD_IMAGE_NAMES = {
  alias: 'alias',
  dealias: 'dealias',
  'forget-image': 'forget',
  'inspect-image': 'inspect',
  'list-images': 'list',
  'rescan-images': 'rescan',
  'set-image-resource-limit': 'set-resource-limit',
} as const;
const oldImageCommands: CommandRecord = Object.fromEntries(
  Object.entries(OLD_IMAGE_NAMES).flatMap(([old, name]) => {
    const entry = image[name];
    return entry === undefined ? [] : [[old, { ...entry, hidden: true }]];
  }),
);

const etcd: CommandRecord = {
  ...oldImageCommands,
  delete: {
    description: 'Delete a key, or everything below it.',
    load: async () => ({ default: (await import('./etcd.ts')).remove }),
  },
  get: {
    description: 'Print the value of a key, or everything below it as JSON.',
    load: async () => ({ default: (await import('./etcd.ts')).get }),
  },
  'move-subtree': {
    description: 'Move everything below a key to another one.',
    load: async () => ({ default: (await import('./etcd.ts')).moveSubtree }),
  },
  put: {
    description: 'Set the value of a key.',
    load: async () => ({ default: (await import('./etcd.ts')).put }),
  },
  'put-json': {
    description: 'Store a JSON object as keys below a prefix.',
    load: async () => ({ default: (await import('./etcd.ts')).putJson }),
  },
  quote: {
    description: 'Quote a text for use as a part of a key.',
    load: async () => ({ default: (await import('./etcd.ts')).quoteText }),
  },
  'remove-storage-sftp-scaling-group': {
    description: 'Let no resource group serve SFTP for a storage proxy.',
    load: async () => ({ default: (await import('./etcd.ts')).removeSftpGroups }),
  },
  'set-storage-sftp-scaling-group': {
    description: 'Name the resource groups that serve SFTP for a storage proxy.',
    load: async () => ({ default: (await import('./etcd.ts')).setSftpGroups }),
  },
  unquote: {
    description: 'Undo the quoting of a part of a key.',
    load: async () => ({ default: (await import('./etcd.ts')).unquoteText }),
  },
};

const api: CommandRecord = {
  'dump-gql-schema': {
    description: 'Print the schema of the GraphQL API.',
    load: async () => ({ default: (await import('./api.ts')).dumpGraphqlSchema }),
  },
  'dump-openapi': {
    description: 'Print the OpenAPI document of the REST API.',
    load: async () => ({ default: (await import('./api.ts')).dumpOpenApi }),
  },
};

const gql: CommandRecord = {
  show: {
    description: 'Print the schema of the GraphQL API (deprecated: use mgr api dump-gql-schema).',
    load: async () => ({ default: (await import('./api.ts')).showGraphqlSchema }),
  },
};

const agent: CommandRecord = {
  ping: {
    description: 'Check whether an agent answers.',
    load: async () => ({ default: (await import('./agent.ts')).ping }),
  },
  revoke: {
    description: 'No longer trust an agent.',
    load: async () => ({ default: (await import('./agent.ts')).revoke }),
  },
};

const token: CommandRecord = {
  create: {
    description: 'Make a token for new agents.',
    load: async () => ({ default: (await import('./token.ts')).create }),
  },
  list: {
    description: 'Show the tokens that can still be used.',
    load: async () => ({ default: (await import('./token.ts')).list }),
  },
  revoke: {
    description: 'Make a token useless.',
    load: async () => ({ default: (await import('./token.ts')).revoke }),
  },
};

const { config, dependencies, health } = componentCommands({
  config: () => import('./config.ts'),
  checks: () => import('./checks.ts'),
});

const redis: CommandRecord = {
  ping: {
    description: 'Check whether Redis answers.',
    load: async () => ({ default: (await import('./checks.ts')).redisPing }),
  },
};

export const mgrCommands: CommandRecord = {
  agent: { description: 'Reach agents.', commands: agent },
  api: { description: 'Describe the API.', commands: api },
  backup: {
    description: 'Write all that the cluster knows to one file.',
    load: async () => ({ default: (await import('./backup.ts')).backup }),
  },
  'clear-history': {
    description: 'Remove what has been over for long.',
    load: async () => ({ default: (await import('./clear-history.ts')).clear }),
  },
  config,
  dbshell: {
    description: 'Open psql on the database of the manager.',
    load: async () => ({ default: (await import('./dbshell.ts')).dbshell }),
  },
  dependencies,
  etcd: { description: 'Read and write the configuration in etcd.', commands: etcd },
  fixture: { description: 'Fill the database with prepared data.', commands: fixture },
  'generate-api-keypair': {
    description: 'Print a new keypair for the API.',
    load: async () => ({ default: (await import('./generate.ts')).apiKeypair }),
  },
  'generate-rpc-keypair': {
    description: 'Make the keys by which manager and agents know each other.',
    load: async () => ({ default: (await import('./generate.ts')).rpcKeypair }),
  },
  gql: { description: 'Describe the GraphQL API.', commands: gql },
  health,
  image: { description: 'Manage the catalogue of images.', commands: image },
  redis: { description: 'Reach Redis.', commands: redis },
  restore: {
    description: 'Restore a backup into an empty cluster.',
    load: async () => ({ default: (await import('./backup.ts')).restore }),
  },
  schema: { description: 'Manage the schema of the database.', commands: schema },
  'start-server': {
    description: 'Run the manager.',
    load: () => import('./start-server.ts'),
  },
  'support-bundle': {
    description: 'Write what others need to see of a cluster in trouble to one file.',
    load: () => import('./support-bundle.ts'),
  },
  token: { description: 'Let new agents join.', commands: token },
};
