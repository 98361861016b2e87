/** The services of a session: started on first use, kept running, ended with the session. */
import { join } from 'node:path';
import type { ServiceOffer, ServiceOptions } from '../../common/protocol/service.ts';
import type { Random } from '../../common/random.ts';
import { findProgram } from '../environment.ts';
import { RunnerError } from '../errors.ts';
import type { Workplace } from '../languages/language.ts';
import { builtinService, type ServicePrograms } from './builtin.ts';
import { serviceCommand } from './command.ts';
import {
  type Definitions,
  offerOf,
  readDefinitions,
  type ServiceDefinition,
} from './definition.ts';
import { ServiceLog, serviceLogPath } from './log.ts';
import { runPrestart } from './prestart.ts';
import { Supervised } from './supervised.ts';
import type { Variables } from './variables.ts';

/** Services of one session that may run at a time. */
const MAX_SERVICES = 64;
const SERVICE_NAME = /^[\w-]{1,64}$/;

export interface ServicesOptions {
  readonly workplace: Workplace;
  /** The interpreter that definitions call `runtime_path`. */
  readonly runtimePath: string;
  /** The address that services shall listen on. */
  readonly host: string;
  readonly definitionsFolder: string;
  /** The node's own programs for well-known services; empty where the image has to have them. */
  readonly servicePrograms: ServicePrograms;
  /** Names of what the runner itself serves for as long as the session lives. */
  readonly builtIn: ReadonlySet<string>;
  readonly random: Random;
  /** Takes lines for the session's log. */
  readonly note: (message: string) => void;
}

export interface ServiceRequest {
  readonly name: string;
  readonly protocol: string;
  readonly ports: readonly number[];
  readonly options: ServiceOptions;
}

export class Services {
  readonly #options: ServicesOptions;
  readonly #running = new Map<string, Supervised>();
  /** Starts under way; whoever asks meanwhile waits for the same. */
  readonly #starting = new Map<string, Promise<void>>();
  #definitions: Promise<Definitions> | null = null;

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  /** What the image's definitions, and the node's own programs, offer. */
  async list(): Promise<(ServiceOffer & { name: string })[]> {
    const definitions = new Map(await this.#known());
    for (const name of Object.keys(this.#options.servicePrograms)) {
      const own = this.#builtin(name);
      if (own !== null && !definitions.has(name)) definitions.set(name, own);
    }
    return [...definitions].map(([name, definition]) => ({ name, ...offerOf(definition) }));
  }

  /**
   * Starts a service unless it runs; either way it takes connections afterwards. What listens on an
   * opened port (`preopen`) is the user's own program, which nobody waits for.
   * @throws RunnerError not-found; bad-request for options that are not allowed; failed.
   */
  async start(request: ServiceRequest): Promise<'started' | 'running'> {
    const { name, protocol } = request;
    if (protocol === 'preopen' || this.#options.builtIn.has(name)) return 'running';
    if (!SERVICE_NAME.test(name)) {
      throw new RunnerError('bad-request', `'${name}' can't be the name of a service.`);
    }
    const running = this.#running.get(name);
    if (running?.isActive) {
      await running.ready();
      return 'running';
    }
    const under = this.#starting.get(name);
    if (under !== undefined) {
      await under;
      return 'running';
    }
    const starting = this.#start(request).finally(() => this.#starting.delete(name));
    this.#starting.set(name, starting);
    await starting;
    return 'started';
  }

  /** Ends a service; harmless when it does not run. */
  async stop(name: string): Promise<void> {
    await this.#starting.get(name)?.catch(() => undefined);
    const service = this.#running.get(name);
    this.#running.delete(name);
    await service?.stop();
  }

  /** Ends all of them. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.stop(name)));
  }

  #known(): Promise<Definitions> {
    const { definitionsFolder, note } = this.#options;
    this.#definitions ??= readDefinitions(definitionsFolder, note);
    return this.#definitions;
  }

  #builtin(name: string): ServiceDefinition | null {
    const programs = this.#options.servicePrograms;
    return builtinService(name, Object.hasOwn(programs, name) ? (programs[name] ?? null) : null);
  }

  async #definition(name: string): Promise<ServiceDefinition> {
    const own = (await this.#known()).get(name) ?? this.#builtin(name);
    if (own !== null) return own;
    throw new RunnerError(
      'not-found',
      `The image does not say how '${name}' is started. It would stand in ` +
        `${join(this.#options.definitionsFolder, `${name}.json`)}.`,
    );
  }

  async #start({ name, ports, options }: ServiceRequest): Promise<void> {
    const { workplace, random, note, host } = this.#options;
    const definition = await this.#definition(name);
    if (definition.noop) return;
    if (this.#running.size >= MAX_SERVICES) {
      throw new RunnerError('busy', `${MAX_SERVICES} services run already; end one of them first.`);
    }
    const { cwd, env, clock } = workplace;
    const log = new ServiceLog(serviceLogPath(cwd, name));
    const print = (text: string) => void log.write(new TextEncoder().encode(text));
    const variables = await runPrestart(definition.prestart, this.#variables(ports), {
      ...{ cwd, env, random, print },
    });
    const made = serviceCommand(definition, options, variables, env);
    const service = new Supervised(
      {
        name,
        cwd,
        ports,
        env: made.env,
        command: this.#startable(made.command),
        host: host === '0.0.0.0' ? '127.0.0.1' : host,
      },
      { log, clock, note },
    );
    // Known from now on, so that it ends with the session even while it starts.
    this.#running.set(name, service);
    try {
      await service.start();
    } catch (error) {
      this.#running.delete(name);
      throw error;
    }
  }

  #variables(ports: readonly number[]): Variables {
    const { host, runtimePath, workplace } = this.#options;
    return { host, ports, runtime_path: runtimePath, shell: workplace.env.SHELL ?? '/bin/sh' };
  }

  /** Definitions say bash where they mean any shell; small images have none. */
  #startable([program = '', ...args]: readonly string[]): string[] {
    const path = this.#options.workplace.env.PATH ?? '';
    const found = findProgram(program, path) ?? (program === 'bash' ? '/bin/sh' : null);
    if (found !== null) return [found, ...args];
    throw new RunnerError('failed', `The session has no program '${program}', which it takes.`);
  }
}
