/** The runner's parts put together, and what each operation of the agent does with them. */
import { type Clock, systemClock } from '../common/clock.ts';
import type { ExecuteRequest } from '../common/protocol/execution.ts';
import { RUNNER_PROTOCOL_VERSION, type RunnerOp } from '../common/protocol/runner.ts';
import { type Random, systemRandom } from '../common/random.ts';
import { BatchExecutor } from './batch/batch.ts';
import type { ContainerLog } from './container-log.ts';
import { type Environment, userEnvironment } from './environment.ts';
import { FileService } from './files/service.ts';
import { IdleOutputBuffer } from './idle-output.ts';
import type { LanguageSession, Workplace } from './languages/language.ts';
import { type OfferedLanguage, offeredLanguages, openLanguage } from './languages/registry.ts';
import { QueryExecutor } from './query.ts';
import type { Caller } from './run.ts';
import { Runs } from './runs.ts';
import type { ServicePrograms } from './services/builtin.ts';
import { DEFINITIONS_FOLDER } from './services/definition.ts';
import { Services } from './services/services.ts';

export interface RunnerOptions {
  readonly env: Environment;
  /** Where programs run; see `workFolder`. */
  readonly workFolder: string;
  readonly runtimeType: string;
  readonly runtimePath: string;
  /** The address that services listen on. */
  readonly serviceHost: string;
  /** The node's own programs for well-known services. */
  readonly servicePrograms?: ServicePrograms;
  /** Names of the services that the runner itself offers. */
  readonly builtIn: ReadonlySet<string>;
  /** Where the image says how its services start. */
  readonly definitionsFolder?: string;
  readonly log: ContainerLog;
  /** Called after a shutdown request was answered. */
  readonly onShutdown: () => void;
  readonly clock?: Clock;
  readonly random?: Random;
}

export class Runner {
  private readonly options: RunnerOptions;
  private readonly workplace: Workplace;
  private readonly languages: OfferedLanguage[];
  private readonly session: LanguageSession | null;
  private readonly idle = new IdleOutputBuffer();
  private readonly runs: Runs;
  private readonly files: FileService;
  private readonly services: Services;
  private readonly batches = new Set<BatchExecutor>();
  private readonly startedAt: string;
  private warmedUp = false;

  constructor(options: RunnerOptions) {
    const clock = options.clock ?? systemClock;
    const random = options.random ?? systemRandom;
    this.options = options;
    this.workplace = {
      cwd: options.workFolder,
      env: userEnvironment(options.env, options.workFolder),
      clock,
    };
    this.languages = offeredLanguages(options.runtimeType, options.runtimePath, this.workplace.env);
    const keepIdle = async (stream: 'stdout' | 'stderr', chunk: Uint8Array) => {
      this.idle.add(stream, chunk);
      await options.log.write(stream === 'stdout' ? 1 : 2, chunk);
    };
    const [language] = this.languages;
    this.session =
      language === undefined ? null : openLanguage(language, this.workplace, keepIdle, random);
    this.runs = new Runs((request) => this.makeExecutor(request), options.log, clock);
    this.files = new FileService(options.workFolder, random);
    const python = this.languages.find(({ name }) => name === 'python')?.interpreter;
    this.services = new Services({
      workplace: this.workplace,
      runtimePath: options.runtimePath || (python ?? ''),
      host: options.serviceHost,
      definitionsFolder: options.definitionsFolder ?? DEFINITIONS_FOLDER,
      servicePrograms: options.servicePrograms ?? {},
      builtIn: options.builtIn,
      random,
      note: (message) => void options.log.write(2, new TextEncoder().encode(`${message}\n`)),
    });
    this.startedAt = clock.now().toISOString();
  }

  /** Performs one operation. @throws RunnerError */
  async handle(op: RunnerOp, caller: Caller): Promise<unknown> {
    switch (op.op) {
      case 'status':
        // After the answer has left: starting a process takes a while, and the agent waits.
        this.workplace.clock.timer(0, () => this.warmUp());
        return {
          protocol: RUNNER_PROTOCOL_VERSION,
          startedAt: this.startedAt,
          languages: this.languages.map((language) => language.name),
        };
      case 'execute':
        return await this.runs.execute(op.request, caller);
      case 'interrupt':
        this.runs.interrupt();
        return null;
      case 'complete':
        return { suggestions: (await this.session?.complete(op.request)) ?? [] };
      case 'list-files':
        return await this.files.list(op.path);
      case 'write-file':
        return await this.files.write(op.path, op.offset, op.data);
      case 'read-file':
        return await this.files.read(op.path, op.offset);
      case 'open-archive':
        return await this.files.openArchive(op.path, op.maxBytes, caller.signal);
      case 'read-archive':
        return await this.files.readArchive(op.handle, op.offset);
      case 'close-archive':
        await this.files.closeArchive(op.handle);
        return null;
      case 'list-services':
        return { services: await this.services.list() };
      case 'start-service':
        return { status: await this.services.start(op) };
      case 'stop-service':
        await this.services.stop(op.name);
        return null;
      case 'shutdown':
        this.workplace.clock.timer(10, this.options.onShutdown);
        return null;
    }
  }

  /** Ends the user's processes. */
  async stop(): Promise<void> {
    this.session?.stop();
    for (const batch of this.batches) batch.stop();
    this.files.close();
    await this.services.stopAll();
  }

  /** Starts the default language ahead of the first query when the image is made for it. */
  private warmUp(): void {
    if (this.warmedUp || this.options.runtimeType === 'app') return;
    this.warmedUp = true;
    this.session?.warmUp().catch(() => {
      // The first query tries again and tells the user.
    });
  }

  private makeExecutor(request: ExecuteRequest): QueryExecutor | BatchExecutor {
    if (request.mode === 'query') {
      const type = this.options.runtimeType;
      return new QueryExecutor(request.code, this.session, this.idle, type);
    }
    const python = this.languages.find((language) => language.name === 'python');
    const batch: BatchExecutor = new BatchExecutor(
      request.options,
      this.workplace,
      python?.interpreter ?? null,
      () => this.batches.delete(batch),
    );
    this.batches.add(batch);
    return batch;
  }
}
