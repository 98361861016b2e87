/** What both APIs of the storage proxy work with. */
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import type { AnsweredRequest } from '../metrics/requests.ts';
import type { ArchiveWorkers } from './archives/workers.ts';
import type { ObjectStorages } from './objects/storages.ts';
import type { StorageSettings } from './settings.ts';
import type { TaskBoard } from './tasks/board.ts';
import type { Tokens } from './tokens.ts';
import type { Volumes } from './volumes/open.ts';

export interface StorageContext {
  readonly settings: StorageSettings;
  readonly volumes: Volumes;
  readonly objects: ObjectStorages;
  readonly archives: ArchiveWorkers;
  readonly tasks: TaskBoard;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told of every answer. */
  readonly onAnswered: (answered: AnsweredRequest) => void;
}
