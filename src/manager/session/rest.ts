/** All REST operations on sessions. */
import type { ManagerContext } from '../context.ts';
import type { Route } from '../http/route.ts';
import { eventRoutes } from './events.ts';
import { appRoutes } from './rest-apps.ts';
import { clusterCreationRoutes } from './rest-cluster.ts';
import { commitRoutes } from './rest-commit.ts';
import { createRoutes } from './rest-create.ts';
import { executionRoutes } from './rest-execution.ts';
import { fileRoutes } from './rest-files.ts';
import { lifecycleRoutes } from './rest-lifecycle.ts';
import { taskLogRoutes } from './rest-task-logs.ts';
import { templateCreationRoutes } from './rest-template.ts';
import { streamRoutes } from './stream.ts';

export { sessionSocketRoutes } from './stream.ts';

export const sessionRoutes = (ctx: ManagerContext): Route[] => [
  ...createRoutes(ctx),
  ...templateCreationRoutes(ctx),
  ...clusterCreationRoutes(ctx),
  ...lifecycleRoutes(ctx),
  ...commitRoutes(ctx),
  ...taskLogRoutes(ctx),
  ...executionRoutes(ctx),
  ...fileRoutes(ctx),
  ...appRoutes(ctx),
  ...streamRoutes(ctx),
  ...eventRoutes(ctx),
];
