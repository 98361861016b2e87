/** What belongs to users, looked up for many at once. */
import { batched } from '../graphql/loaders.ts';
import { projectsOfUsers } from './service.ts';

/** The projects of a user that the caller was allowed to see; null when it has none. */
export const projectsOfUser = batched<string, { id: string; name: string }[]>((userIds, { ctx }) =>
  projectsOfUsers(ctx.sql, userIds),
);
