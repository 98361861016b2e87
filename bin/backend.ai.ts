#!/usr/bin/env bun
/** Entry point: the root of the command tree. Groups are loaded when they are named. */
import { main } from '../src/cli/main.ts';
import { clientCommands } from '../src/cli/tree.ts';
import type { CommandRecord } from '../src/common/command.ts';
import { serverGroupOptions as options } from '../src/common/server-options.ts';
import { VERSION } from '../src/common/version.ts';

const commands: CommandRecord = {
  ...clientCommands,
  ag: {
    description: 'The agent of a node.',
    options,
    commands: async () => (await import('../src/agent/cli/index.ts')).agCommands,
  },
  'app-proxy-coordinator': {
    description: 'The coordinator of the app proxy.',
    options,
    commands: async () =>
      (await import('../src/appproxy/coordinator/cli/index.ts')).coordinatorCommands,
  },
  'app-proxy-worker': {
    description: 'A worker of the app proxy.',
    options,
    commands: async () => (await import('../src/appproxy/worker/cli/index.ts')).workerCommands,
  },
  doctor: {
    description: 'Check what this machine can do.',
    load: () => import('../src/standalone/cli/doctor.ts'),
  },
  down: {
    description: "Stop this machine's cluster.",
    load: () => import('../src/standalone/cli/down.ts'),
  },
  dev: {
    description: 'The components of an installation, as background processes.',
    commands: async () => (await import('../src/install/cli/index.ts')).devCommands,
  },
  install: {
    description: 'Install Backend.AI, or look after an installation.',
    load: () => import('../src/install/cli/install.ts'),
  },
  'kernel-runner': {
    description: 'Run code inside a session; the agent starts this.',
    hidden: true,
    load: () => import('../src/kernel/cli/index.ts'),
  },
  mgr: {
    description: 'The manager and its data.',
    options,
    commands: async () => (await import('../src/manager/cli/index.ts')).mgrCommands,
  },
  servers: {
    description: "Move the data of this machine's cluster to PostgreSQL, Redis and etcd elsewhere.",
    commands: async () => (await import('../src/standalone/cli/servers.ts')).serversCommands,
  },
  status: {
    description: "Show this machine's cluster.",
    load: () => import('../src/standalone/cli/status.ts'),
  },
  storage: {
    description: 'The storage proxy.',
    options,
    commands: async () => (await import('../src/storage/cli/index.ts')).storageCommands,
  },
  up: {
    description: 'Start a cluster on this machine.',
    load: () => import('../src/standalone/cli/up.ts'),
  },
  web: {
    description: 'The web server.',
    options,
    commands: async () => (await import('../src/web/cli/index.ts')).webCommands,
  },
};

// No top-level await: the bytecode compiler does not take it.
void main(commands, VERSION);
