/** The coordinator's database as its configuration names it. */
import type { Sql } from 'postgres';
import type { Logger } from '../../../common/logger.ts';
import { connectDatabase } from '../../../stores/sql/connect.ts';
import type { CoordinatorConfig } from '../config-file.ts';

/** @throws UserError when it cannot be used. */
export const openCoordinatorDatabase = ({ db }: CoordinatorConfig, log: Logger): Promise<Sql> =>
  connectDatabase(
    {
      ...db,
      applicationName: 'backend.ai-appproxy',
      configFile: 'app-proxy-coordinator.toml',
    },
    log,
  );
