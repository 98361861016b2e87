/**
 * The plain page's behaviour: signs in and lists what the account has. Runs in the
 * browser.
 */
const $ = (id) => document.getElementById(id);
// Kept for browsers that drop the cookie, which is sent over HTTPS only unless configured.
const remembered = () => sessionStorage.getItem('session');

async function call(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const id = remembered();
  if (id) headers['X-BackendAI-SessionID'] = id;
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const session = response.headers.get('X-BackendAI-SessionID');
  if (session) sessionStorage.setItem('session', session);
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('Content-Type') || '');
  return { status: response.status, data: isJson && text ? JSON.parse(text) : null };
}

async function query(source) {
  const { status, data } = await call('/func/admin/gql', { query: source, variables: {} });
  if (status === 401) {
    sessionStorage.removeItem('session');
    show(null);
    throw new Error('Your sign-in is over. Sign in again.');
  }
  const problem = data?.errors?.[0]?.message || (status >= 400 && (data?.msg || data?.title));
  if (problem || !data) throw new Error(problem || `The server answered ${status}.`);
  return data.data;
}

function fill(table, rows) {
  const body = $(table).tBodies[0];
  body.replaceChildren(
    ...(rows.length > 0 ? rows : [['None.']]).map((cells) => {
      const row = document.createElement('tr');
      for (const cell of cells) row.insertCell().textContent = cell ?? '';
      return row;
    }),
  );
}

const time = (text) => (text ? new Date(text).toLocaleString() : '');
const slots = (text) =>
  Object.entries(JSON.parse(text || '{}'))
    .map(([name, amount]) => `${name} ${amount}`)
    .join(', ');

async function refresh(role) {
  const sessions = await query(
    '{ compute_session_list(limit: 100, offset: 0) { items { name image type status group_name created_at } } }',
  );
  fill(
    'sessions',
    sessions.compute_session_list.items.map((s) => [
      ...[s.name, s.image, s.type, s.status, s.group_name],
      time(s.created_at),
    ]),
  );
  $('agents-section').hidden = role !== 'superadmin';
  if (role !== 'superadmin') return;
  const agents = await query(
    '{ agent_list(limit: 100, offset: 0) { items { id status scaling_group available_slots occupied_slots } } }',
  );
  fill(
    'agents',
    agents.agent_list.items.map((a) => [
      ...[a.id, a.status, a.scaling_group],
      ...[slots(a.available_slots), slots(a.occupied_slots)],
    ]),
  );
}

const tell = (text) => {
  $('message').textContent = text;
};
const guarded = (work) => async (event) => {
  event?.preventDefault();
  tell('');
  try {
    await work();
  } catch (error) {
    tell(error instanceof TypeError ? 'The server cannot be reached.' : error.message);
  }
};

let role = null;
function show(account) {
  role = account?.role ?? null;
  $('sign-in').hidden = account !== null;
  $('account').hidden = account === null;
  $('who').hidden = account === null;
  $('name').textContent = account ? `${account.access_key} (${account.role})` : '';
}

async function start() {
  const { data } = await call('/server/login-check', {});
  show(data?.authenticated ? data.data : null);
  if (data?.authenticated) await refresh(role);
}

async function signIn() {
  const body = { username: $('username').value.trim(), password: $('password').value };
  if (!$('otp-field').hidden && $('otp').value) body.otp = $('otp').value;
  if (!$('force-field').hidden) body.force = $('force').checked;
  const { data } = await call('/server/login', body);
  if (data?.authenticated) {
    $('password').value = '';
    return start();
  }
  const problem = data?.data ?? data ?? {};
  const kind = (problem.type ?? '').split('/').at(-1);
  if (kind === 'require-totp-authentication') $('otp-field').hidden = false;
  if (kind === 'active-login-session-exists') $('force-field').hidden = false;
  throw new Error(problem.details || problem.title || 'You could not be signed in.');
}

async function signOut() {
  await call('/server/logout', {});
  sessionStorage.removeItem('session');
  show(null);
}

$('sign-in').addEventListener('submit', guarded(signIn));
$('sign-out').addEventListener('click', guarded(signOut));
$('refresh').addEventListener(
  'click',
  guarded(() => refresh(role)),
);
void guarded(start)();
