import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { GraphqlEngine } from '../graphql/engine.ts';
import { callerOf } from '../graphql/rest.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { runChange, searchBody, tellOne, tellPage } from './bridge.ts';
import {
  type Change,
  type One,
  paramsOf,
  type Scoped,
  type Topic,
  type Values,
} from './declare.ts';
import { v2ImageRoutes } from './image-routes.ts';
import { v2SessionRoutes } from './session-routes.ts';
import { accounts } from './topics/accounts.ts';
import { folders } from './topics/folders.ts';
import { images } from './topics/images.ts';
import { policyTopic } from './topics/policies.ts';
import { presets } from './topics/presets.ts';
import { records } from './topics/records.ts';
import { resourceGroups } from './topics/resource-groups.ts';
import { roles } from './topics/roles.ts';
import { sessions } from './topics/sessions.ts';
import { shares } from './topics/shares.ts';

const TOPICS: readonly Topic[] = [
  accounts,
  images,
  policyTopic,
  presets,
  resourceGroups,
  sessions,
  folders,
  roles,
  shares,
  records,
];

type CallerRequest = Parameters<typeof callerOf>[1];

const scopedRoute = (
  ctx: ManagerContext,
  engine: GraphqlEngine,
  { path, field, list, auth = 'user', place, what }: Scoped,
): Route =>
  route(
    {
      method: 'POST',
      // Some are kinds of searches by their own name.
      path: path.endsWith('-search') ? `/v2/${path}` : `/v2/${path}/search`,
      gate: 'any',
      auth,
      summary: `List ${what}.`,
      takes: { params: paramsOf(path), body: searchBody },
    },
    async (request, { params, body }) => ({
      json: await tellPage(engine, callerOf(ctx, request), { field, list }, place(params), body),
    }),
  );

function oneRoute(
  ctx: ManagerContext,
  engine: GraphqlEngine,
  { method = 'GET', path, field, auth, body, place, what, under, shape, orNull }: One,
): Route {
  const summary = `Tell about ${what}.`;
  const declared = { method, path: `/v2/${path}`, gate: 'any', auth, summary } as const;
  const params = paramsOf(path);
  const run = async (request: CallerRequest, inPath: Values, sent: Values) => {
    const row = await tellOne(engine, callerOf(ctx, request), field, place(inPath, sent));
    if (row === null && orNull === undefined) {
      throw new BackendError('ObjectNotFound', `There is no such row: ${what}.`);
    }
    const told = shape === undefined || row === null ? row : shape(row);
    return { json: under === undefined ? told : { [under]: told } };
  };
  return body === undefined
    ? route({ ...declared, takes: { params } }, (request, input) => run(request, input.params, {}))
    : route({ ...declared, takes: { params, body } }, (request, input) =>
        run(request, input.params, input.body),
      );
}

function changeRoute(
  ctx: ManagerContext,
  engine: GraphqlEngine,
  { method, path, mutation, auth, what, body, given, under }: Change,
): Route {
  const declared = { method, path: `/v2/${path}`, gate: 'all', auth, summary: what } as const;
  const params = paramsOf(path);
  const run = async (request: CallerRequest, inPath: Values, sent: Values) => {
    const wanted = given?.(inPath, sent) ?? { input: sent };
    const told = await runChange(engine, callerOf(ctx, request), mutation, wanted);
    return { json: under === undefined ? told : { [under]: told } };
  };
  return body === undefined
    ? route({ ...declared, takes: { params } }, (request, input) => run(request, input.params, {}))
    : route({ ...declared, takes: { params, body } }, (request, input) =>
        run(request, input.params, input.body),
      );
}

const place = () => ({});

export const v2Routes = (ctx: ManagerContext, engine: GraphqlEngine): Route[] => [
  ...v2SessionRoutes(ctx, engine),
  ...v2ImageRoutes(ctx),
  ...TOPICS.flatMap(({ searches = [], scoped = [], ones = [], changes = [] }) => [
    ...searches.map(([path, field, auth, what]) =>
      scopedRoute(ctx, engine, { path, field, auth, what, place }),
    ),
    ...scoped.map((each) => scopedRoute(ctx, engine, each)),
    ...ones.map((each) => oneRoute(ctx, engine, each)),
    ...changes.map((each) => changeRoute(ctx, engine, each)),
  ]),
];
