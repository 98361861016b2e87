/** Routes that keep what is in a session, and tell what was found wrong with it. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { commitSession, convertToImage, isCommitting } from './commit.ts';
import { callKernel } from './kernel-call.ts';
import { findSession, ofSession, sessionOperation } from './request.ts';

const fileName = v.pipe(
  v.string(),
  v.maxLength(200),
  v.regex(/^[^./\0][^/\0]*$/, 'a file name has no slashes and does not begin with a dot'),
);

const committing = {
  ...ofSession,
  fields: aliased({ filename: ['fname'] }, v.object({ filename: v.nullish(fileName, null) })),
};

const conversion = {
  ...ofSession,
  // Python's clients send the query, others a body.
  fields: v.object({
    image_name: v.pipe(
      v.string(),
      v.maxLength(64),
      v.regex(/^[a-zA-Z0-9.\-_]+$/, 'use letters, digits, ".", "-" and "_"'),
    ),
    image_visibility: v.nullish(
      v.picklist(['user'], 'only images for yourself can be made: "user"'),
      'user',
    ),
  }),
};

export const commitRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation(
        'GET',
        '/session/:session_name/abusing-report',
        'Tell what was found wrong with a session.',
      ),
      gate: 'all',
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      const report = await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
        agent.abuseReport({ kernelId }),
      );
      return { json: report ?? {} };
    },
  ),
  route(
    {
      ...sessionOperation(
        'POST',
        '/session/:session_name/commit',
        'Write what is in a session into an archive on its agent.',
      ),
      gate: 'all',
      takes: committing,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      const { filename } = input.fields;
      const { taskId, path } = await commitSession(ctx, request.caller, session, filename);
      return { status: 201, json: { bgtask_id: taskId, kernel: session.mainKernel.id, path } };
    },
  ),
  route(
    {
      ...sessionOperation(
        'GET',
        '/session/:session_name/commit',
        'Tell whether a session is being committed.',
      ),
      gate: 'all',
      takes: ofSession,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      const status = (await isCommitting(ctx, session)) ? 'ongoing' : 'ready';
      return { json: { status, kernel: session.mainKernel.id } };
    },
  ),
  route(
    {
      ...sessionOperation(
        'POST',
        '/session/:session_name/imagify',
        'Make an image of a session, for yourself.',
      ),
      gate: 'all',
      takes: conversion,
    },
    async (request, input) => {
      const session = await findSession(ctx, request, input);
      const { image_name: name } = input.fields;
      return { json: { task_id: await convertToImage(ctx, request.caller, session, name) } };
    },
  ),
];
