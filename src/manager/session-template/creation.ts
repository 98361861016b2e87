/** Turns a template and what a request says besides into the body of a session's creation. Pure. */
import { cloneScript } from './git.ts';
import type { TaskTemplate } from './schema.ts';

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Absent and null both mean that the template decides. */
const sentOf = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/**
 * What of a request's `config` counts. Upstream's client sends an empty list of mounts when it was
 * told nothing about folders, and an empty map with it when there shall be none.
 */
function overridingConfig(config: Fields): Fields {
  const { mounts, ...others } = config;
  const saysNothing = Array.isArray(mounts) && mounts.length === 0 && !others.mount_map;
  return saysNothing || mounts === undefined ? others : { mount_map: {}, ...others, mounts };
}

/** Mounts of a template in the form that every version of the API takes. */
function mountsOf(mounts: TaskTemplate['spec']['mounts']): Fields {
  const names = Object.keys(mounts);
  if (names.length === 0) return {};
  const targets = Object.entries(mounts).filter(([, target]) => target !== '');
  return { mounts: names, mount_map: Object.fromEntries(targets) };
}

/** The template's bootstrap script, or the one that is sent in base64, and the cloning after it. */
function scriptOf(template: TaskTemplate, sent: unknown): Fields {
  const { run, git } = template.spec.kernel;
  const own = run?.bootstrap ?? '';
  const first = typeof sent === 'string' ? Buffer.from(sent, 'base64').toString() : own;
  const script = git === null ? first : `${first}${first === '' ? '' : '\n'}${cloneScript(git)}`;
  return script === '' ? {} : { bootstrap_script: base64(script) };
}

/**
 * The body of `POST /session` for a template.
 * @param place where the template belongs: its project and domain.
 * @param request fields by their own names; what is there goes before the template's.
 */
export function creationBody(
  template: TaskTemplate,
  place: { readonly group: string | null; readonly domain: string },
  request: Fields,
): Fields {
  const { metadata, spec } = template;
  const sent = sentOf(request);
  const config = sentOf(overridingConfig(isObject(sent.config) ? sentOf(sent.config) : {}));
  return {
    image: spec.kernel.image,
    ...(spec.kernel.architecture !== null && { architecture: spec.kernel.architecture }),
    domain: place.domain,
    ...(place.group !== null && { group: place.group }),
    session_type: spec.session_type,
    ...(metadata.tag !== null && { tag: metadata.tag }),
    ...(spec.kernel.run?.startup_command && { startup_command: spec.kernel.run.startup_command }),
    ...sent,
    ...scriptOf(template, sent.bootstrap_script),
    config: {
      ...(spec.scaling_group && { scaling_group: spec.scaling_group }),
      ...mountsOf(spec.mounts),
      environ: spec.kernel.environ,
      ...(spec.resources && { resources: spec.resources }),
      ...config,
    },
  };
}
