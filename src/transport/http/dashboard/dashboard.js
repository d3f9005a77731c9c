// The dashboard: watches all targets and the chosen one, and draws what it hears. Every text that came from outside becomes
// a text node, never markup: names of parties are whatever somebody called them. Streams are read with fetch(), since an
// EventSource cannot send a token.
'use strict';

const TOKEN_KEY = 'syzygy-token';
const SILENCE_MS = 40000;  // the daemon says something at least every 15 s
const HIDDEN_MS = 10000;
const EVENTS_SHOWN = 60;
const STEPS_SHOWN = 14;
const TARGETS_SHOWN = 500;

const STATES = {
  GATHERING: ['Gathering', 'wait'],
  ELECTED: ['Elected', 'work'],
  APPLYING: ['Applying', 'work'],
  RECOVERING: ['Recovering', 'doubt'],
  SUCCEEDED: ['Succeeded', 'good'],
  FAILED: ['Failed', 'bad'],
  INDETERMINATE: ['Indeterminate', 'doubt'],
  EXPIRED: ['Expired', 'neutral'],
  DISSOLVED: ['Dissolved', 'neutral'],
  SUPERSEDED: ['Superseded', 'neutral'],
};

const MOVES = {
  GATHERING: 'gathers',
  ELECTED: 'has an applier',
  APPLYING: 'is being applied',
  RECOVERING: 'has lost its applier, and looks for another',
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  INDETERMINATE: 'is indeterminate: somebody has to look',
  EXPIRED: 'expired',
  DISSOLVED: 'was dissolved',
  SUPERSEDED: 'was superseded',
};

const EVENTS = {
  ROUND_OPENED: 'A round opened',
  PARTY_JOINED: 'joined',
  PARTY_REPLACED: 'was replaced by a newer process',
  PARTY_LAPSED: 'fell silent: its lease is over',
  PARTY_REVIVED: 'is back',
  PARTY_LEFT: 'left',
  PARTY_VISITED: 'came by',
  APPLIER_GRANTED: 'was elected to apply',
  APPLIER_CLAIMED: 'claimed the target',
  APPLIER_DECLINED: 'declined to apply',
  STEP_PROGRESS: 'reports progress',
  SEVERED: 'The round was severed',
  ACKNOWLEDGED: 'acknowledged the failure',
  PIN_SET: 'The pin was set',
  EXCUSED: 'was excused',
  EXCUSE_ENDED: 'is excused no longer',
  BOUND: 'The target was bound',
  DIVERGED: 'Two rounds disagree about the plan',
  CONVERGED: 'The rounds agree again',
  RESOLUTION_BEGUN: 'An operator began to resolve the round',
  EVIDENCE: 'reported too late to decide anything',
  ROUND_RETIRED: 'The round went to history',
  GRACE_GIVEN: 'Leases were extended after a restart',
  TOKEN_RAISED: 'The token rose: the target knew a higher one',
  RESYNC_BEGUN: 'The store went back in time: nothing is granted for a time',
  RESYNC_ENDED: 'The target has resynchronised',
};

// ---- small things ----

// h('p', {class: 'quiet'}, 'text', node, ...): strings become text nodes; null, false and undefined nothing.
function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

const by = (id) => document.getElementById(id);
const short = (enumeration, prefix) => String(enumeration || '').replace(prefix, '');
const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

function state(value) {
  const key = short(value, 'ROUND_STATE_');
  const [text, tone] = STATES[key] || ['No round', 'neutral'];
  return {key, text, tone};
}

function pill(text, tone) {
  return h('span', {class: 'pill', 'data-tone': tone}, h('span', {class: 'dot', 'aria-hidden': 'true'}), text);
}

let clockOffset = 0;  // the daemon's clock less ours

function ago(timestamp) {
  if (!timestamp) return '';
  const seconds = Math.max(0, Math.round((Date.now() + clockOffset - Date.parse(timestamp)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(timestamp).toLocaleDateString();
}

function time(timestamp) {
  const at = new Date(timestamp);
  return h('time', {datetime: timestamp, title: at.toLocaleString()}, at.toLocaleTimeString([], {hour12: false}));
}

function seconds(duration) {
  const n = parseFloat(duration || '0');
  return n < 10 ? `${n.toFixed(1)} s` : n < 120 ? `${Math.round(n)} s` : `${Math.round(n / 60)} min`;
}

// ---- talking to the daemon ----

class Unauthorised extends Error {}
class Refused extends Error {}

function headers() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? {Authorization: `Bearer ${token}`} : {};
}

async function ask(path, signal) {
  const response = await fetch(path, {headers: headers(), signal, cache: 'no-store'});
  if (response.status === 401) throw new Unauthorised();
  if (!response.ok) {
    let detail = `The daemon answered ${response.status}.`;
    try {
      detail = (await response.json()).detail || detail;
    } catch { /* not JSON: the status says it */ }
    throw new Refused(detail);
  }
  const date = Date.parse(response.headers.get('Date'));
  if (date) clockOffset = date - Date.now();
  return response;
}

// Reads server-sent events until the stream ends; throws when it breaks, or says nothing for too long.
async function readEvents(response, controller, onEvent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  let last = {id: '', data: []};
  let watchdog = 0;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => controller.abort(), SILENCE_MS);
  };
  try {
    for (;;) {
      alive();
      const {value, done} = await reader.read();
      if (done) return;
      buffer += value;
      let end;
      while ((end = buffer.indexOf('\n')) >= 0) {
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + 1);
        if (line === '') {
          if (last.data.length) onEvent(JSON.parse(last.data.join('\n')), last.id);
          last = {id: last.id, data: []};
        } else if (line.startsWith('data:')) {
          last.data.push(line.slice(5).trimStart());
        } else if (line.startsWith('id:')) {
          last.id = line.slice(3).trim();
        }
      }
    }
  } finally {
    clearTimeout(watchdog);
  }
}

// Keeps one stream open for as long as it is wanted, with growing, jittered pauses between attempts.
class Follower {
  constructor({path, onOpen, onEvent, onState}) {
    Object.assign(this, {path, onOpen, onEvent, onState});
    this.stopped = false;
    this.lastId = '';
    this.run();
  }

  stop() {
    this.stopped = true;
    if (this.controller) this.controller.abort();
    if (this.wake) this.wake();
  }

  // A browser opens six connections to one daemon, over all of its tabs: one that nobody sees needs none.
  pause(paused) {
    this.paused = paused;
    if (paused && this.controller) this.controller.abort();
    if (!paused && this.wake) this.wake();
  }

  async run() {
    let pause = 500;
    while (!this.stopped) {
      if (this.paused) {
        await new Promise((resolve) => { this.wake = resolve; });
        continue;
      }
      this.controller = new AbortController();
      try {
        const response = await ask(this.path(this.lastId), this.controller.signal);
        pause = 500;
        this.onState('live');
        if (this.onOpen) this.onOpen(this.controller.signal).catch(() => this.controller.abort());
        await readEvents(response, this.controller, (event, id) => {
          if (id) this.lastId = id;
          this.onEvent(event);
        });
      } catch (error) {
        if (this.stopped) return;
        if (this.paused) continue;
        if (error instanceof Unauthorised) {
          this.onState('unauthorised');
          return;
        }
        if (error instanceof Refused) {
          this.onState('refused', error.message);
          pause = Math.max(pause, 3000);
        }
      }
      if (this.stopped) return;
      if (this.paused) continue;
      this.onState('lost');
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, pause * (0.7 + 0.6 * Math.random()));
      });
      pause = Math.min(pause * 1.7, 8000);
    }
  }
}

// ---- what is known ----

const known = {
  targets: new Map(),  // name -> summary
  chosen: null,        // a target's name
  target: null,        // its state
  problem: '',         // why it cannot be shown
  events: [],          // newest first
  gap: false,
  open: new Set(),     // the other rounds that are unfolded
};
const links = {all: 'connecting', one: 'idle'};
let lostAt = null;
let all = null;
let one = null;

function merge(summary) {
  const before = known.targets.get(summary.name);
  if (!before || Number(before.revision || 0) <= Number(summary.revision || 0)) known.targets.set(summary.name, summary);
}

async function loadTargets(signal) {
  let page = '';
  do {
    const answer = await (await ask(`v1/targets?pageSize=1000&pageToken=${encodeURIComponent(page)}`, signal)).json();
    for (const summary of answer.targets || []) merge(summary);
    page = answer.nextPageToken || '';
  } while (page);
  if (!known.chosen && known.targets.size > 0) choose(fromHash() || newest());
  draw();
}

function newest() {
  let best = null;
  for (const summary of known.targets.values()) {
    if (!best || Date.parse(summary.changedAt || 0) > Date.parse(best.changedAt || 0)) best = summary;
  }
  return best && best.name;
}

function fromHash() {
  const match = /^#\/t\/(.+)$/.exec(location.hash);
  try {
    return match ? decodeURIComponent(match[1]) : null;
  } catch {
    return null;
  }
}

const hashOf = (name) => `#/t/${encodeURIComponent(name)}`;

function choose(name) {
  if (name === known.chosen) return;
  Object.assign(known, {chosen: name, target: null, problem: '', events: [], gap: false});
  if (one) one.stop();
  one = null;
  links.one = 'idle';
  if (name) follow(name);
  draw();
}

function follow(name) {
  const base = `v1/targets/${encodeURIComponent(name)}`;
  one = new Follower({
    path: (lastId) => {
      const dash = lastId.lastIndexOf('-');
      return dash < 0 ? `${base}/watch` : `${base}/watch?epoch=${lastId.slice(0, dash)}&revision=${lastId.slice(dash + 1)}`;
    },
    onEvent: (update) => {
      if (known.chosen !== name) return;
      if (!known.target) loadEvents(name, Number(update.target.revision || 0));
      announce(known.target, update.target);
      known.target = update.target;
      known.problem = '';
      if (update.gap && known.events.length) known.gap = true;
      addEvents(update.events || []);
      draw();
    },
    onState: (link, detail) => {
      if (known.chosen !== name) return;
      links.one = link;
      if (link === 'refused') known.problem = detail;
      draw();
    },
  });
}

function addEvents(more) {
  const seen = new Set(known.events.map((e) => e.revision));
  known.events.push(...more.filter((e) => !seen.has(e.revision)));
  known.events.sort((a, b) => Number(b.revision) - Number(a.revision));
  known.events.length = Math.min(known.events.length, EVENTS_SHOWN);
}

// What happened before we came.
async function loadEvents(name, revision) {
  try {
    const after = Math.max(0, revision - EVENTS_SHOWN);
    const answer = await (await ask(`v1/targets/${encodeURIComponent(name)}/events?after=${after}&pageSize=${EVENTS_SHOWN}`)).json();
    if (known.chosen === name) addEvents(answer.events || []);
    draw();
  } catch { /* the stream goes on without them, or says that the connection is lost */ }
}

function announce(before, after) {
  const was = leading(before);
  const is = leading(after);
  if (!is || (was && was.id === is.id && was.state === is.state && was.present === is.present)) return;
  by('announce').textContent = `${after.name}: ${state(is.state).text}, ${is.present || 0} of ${needed(is)} present`;
}

function start() {
  by('sign-in').hidden = true;
  by('layout').hidden = false;
  if (all) all.stop();
  all = new Follower({
    path: () => 'v1/watch',
    onOpen: loadTargets,  // after the stream is open, so that nothing falls between
    onEvent: (event) => {
      merge(event.target);
      if (!known.chosen) choose(fromHash() || event.target.name);
      draw();
    },
    onState: (link) => {
      links.all = link;
      if (link === 'live' && !known.chosen) choose(fromHash());
      if (link === 'unauthorised') signIn();
      draw();
    },
  });
}

function signIn() {
  const wrong = sessionStorage.getItem(TOKEN_KEY) !== null;
  sessionStorage.removeItem(TOKEN_KEY);
  if (one) one.stop();
  one = null;
  known.chosen = null;
  by('layout').hidden = true;
  by('sign-in').hidden = false;
  by('token').value = '';
  by('token').focus();
  by('banner').hidden = !wrong;
  by('banner').textContent = wrong ? 'That token is not this daemon\'s.' : '';
}

async function checkReady() {
  try {
    const response = await fetch('readyz', {cache: 'no-store'});
    const text = await response.text();
    by('store').textContent = response.ok ? text.split('\n')[0].replace(/^ready: /, 'Store ') : '';
    const detail = response.ok ? text.split('\n').slice(1).join(' ').trim() : JSON.parse(text).detail;
    ready = {ok: response.ok, detail};
  } catch {
    ready = null;  // not reachable at all: the connection's own affair
  }
  draw();
}
let ready = null;

// ---- drawing ----

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  const now = () => {
    if (!drawing) return;
    drawing = false;
    drawConnection();
    drawTargets();
    drawDetail();
  };
  if (document.hidden) setTimeout(now, 50);
  else requestAnimationFrame(now);
}

function drawConnection() {
  const node = by('connection');
  const live = links.all === 'live' && (links.one === 'live' || links.one === 'idle' || links.one === 'refused');
  const lost = links.all === 'lost' || links.all === 'refused' || links.one === 'lost';
  if (live) lostAt = null;
  else if (lost && !lostAt) lostAt = new Date();
  const [text, tone] = live ? ['Live', 'good']
    : links.all === 'unauthorised' ? ['Token needed', 'work']
    : lost ? ['Connection lost', 'bad'] : ['Connecting', 'neutral'];
  node.dataset.tone = tone;
  node.toggleAttribute('data-live', live);
  if (by('connection-text').textContent !== text) by('connection-text').textContent = text;
  document.body.toggleAttribute('data-lost', lost && !live);
  if (links.all === 'unauthorised') return;
  const banner = by('banner');
  let message = '';
  if (lost && !live && lostAt) {
    message = `The connection to the daemon is lost since ${lostAt.toLocaleTimeString([], {hour12: false})}. ` +
      'What you see may be old; it is being tried again.';
  } else if (ready && !ready.ok) {
    message = `The daemon is up, but not ready: ${ready.detail}`;
  } else if (ready && ready.detail) {
    message = ready.detail;
  }
  banner.hidden = message === '';
  if (banner.textContent !== message) banner.textContent = message;
}

function drawTargets() {
  const wanted = by('filter').value.trim().toLowerCase();
  const list = [...known.targets.values()]
    .filter((t) => t.name.toLowerCase().includes(wanted))
    .sort((a, b) => a.name.localeCompare(b.name));
  by('count').textContent = wanted ? `${list.length} of ${known.targets.size}` : plural(known.targets.size, 'target', 'targets');
  const lines = list.slice(0, TARGETS_SHOWN).map(targetLine);
  if (list.length > lines.length) lines.push(h('li', {class: 'quiet'}, `${list.length - lines.length} more: filter them`));
  // What stands already stays the same node, so that a click that has begun still finds it.
  const ul = by('targets');
  lines.forEach((line, i) => {
    if (ul.children[i] !== line) ul.insertBefore(line, ul.children[i] || null);
  });
  while (ul.children.length > lines.length) ul.lastChild.remove();
}

const lineOf = new Map();  // name -> {key, node}

function targetLine(summary) {
  const s = state(summary.state);
  const chosen = summary.name === known.chosen;
  const key = JSON.stringify([s.key, summary.text, chosen]);
  const before = lineOf.get(summary.name);
  if (before && before.key === key) return before.node;
  const node = before ? before.node : h('li', null, h('a', {href: hashOf(summary.name), 'data-target': summary.name}));
  const link = node.firstChild;
  if (chosen) link.setAttribute('aria-current', 'page');
  else link.removeAttribute('aria-current');
  link.replaceChildren(h('span', {class: 'row'}, h('span', {class: 'name'}, summary.name), pill(s.text, s.tone)),
    h('span', {class: 'text', title: summary.text || ''}, summary.text || ''));
  lineOf.set(summary.name, {key, node});
  return node;
}

function empty() {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 220 90');
  svg.setAttribute('aria-hidden', 'true');
  for (const [r, cls] of [[40, 'ring'], [25, 'ring']]) circle(svg, 110, 45, r, cls);
  for (const [x, y, r, cls] of [[110, 45, 9, 'sun'], [128, 28, 5, 'near'], [76, 66, 6, 'far']]) circle(svg, x, y, r, cls);
  return h('div', {class: 'empty'}, svg,
    h('h1', null, 'No target yet'),
    h('p', null, 'A target appears here when the first party joins it:'),
    h('pre', null, 'syzygy migrate --target orders --party eu-west --quorum 3 \\\n    --database postgresql://… --dir migrations --pre-deploy'));
}

function circle(svg, x, y, r, cls) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
  for (const [name, value] of Object.entries({cx: x, cy: y, r, class: cls})) node.setAttribute(name, value);
  svg.append(node);
}

function drawDetail() {
  const main = by('detail');
  if (!known.chosen) {
    if (links.all === 'live' && known.targets.size === 0) main.replaceChildren(empty());
    return;
  }
  const target = known.target;
  if (!target) {
    main.replaceChildren(h('div', {class: 'head'}, h('h1', null, known.chosen)),
      h('p', {class: 'quiet'}, known.problem || 'Nothing is known of this target yet.'));
    return;
  }
  const rounds = [...(target.rounds || [])];
  const current = leading(target);
  if (current) rounds.splice(rounds.indexOf(current), 1);
  const s = state(current && current.state);
  document.title = `${target.name} · ${s.text} · Syzygy`;
  const nodes = [
    h('div', {class: 'head'}, h('h1', null, target.name), pill(s.text, s.tone)),
    h('p', {class: 'facts'},
      h('span', null, `revision ${target.revision || 0}`),
      target.token ? h('span', null, `token ${target.token}`) : null,
      target.binding && target.binding.database ? h('span', null, `database ${target.binding.database}`) : null,
      target.binding && target.binding.application && target.binding.application !== 'default'
        ? h('span', null, `application ${target.binding.application}`) : null,
      target.pin ? h('span', null, `pinned to ${quorumText(target.pin)}${target.pinReason ? `: ${target.pinReason}` : ''}`) : null),
  ];
  if (target.frozen) {
    nodes.push(h('p', {class: 'note', 'data-tone': 'bad'},
      'This target is frozen: an invariant failed, and nothing is committed for it until the daemon is mended.',
      h('small', null, 'The daemon\'s log names the file that replays it.')));
  }
  if (target.resync) {
    nodes.push(h('p', {class: 'note', 'data-tone': 'bad'},
      `This target resynchronises until ${target.resync.until}: ${target.resync.why}.`,
      h('small', null, 'The store went back in time, or began anew. Nothing is granted until then.')));
  }
  if (current) nodes.push(h('article', {class: 'card', 'data-round': current.id}, roundSections(current, target, true)));
  else nodes.push(h('div', {class: 'card'}, h('p', {class: 'quiet'}, 'No round is live or lingering.'), visitsSection(target)));
  for (const round of rounds) nodes.push(other(round, target));
  nodes.push(eventsCard());
  // Only if something is different: a selection of text, or a click that has begun, is not disturbed without need.
  const fresh = h('div', null, nodes);
  if (main.firstChild && main.childNodes.length === 1 && main.firstChild.isEqualNode(fresh)) return;
  main.replaceChildren(fresh);
}

function other(round, target) {
  const s = state(round.state);
  const node = h('details', {class: 'card', open: known.open.has(round.id), 'data-round': round.id},
    h('summary', null, pill(s.text, s.tone), h('span', null, `round ${round.generation || 0}`),
      h('span', {class: 'quiet'}, ago(round.endedAt || round.openedAt))),
    roundSections(round, target, false));
  node.addEventListener('toggle', () => {
    if (node.open) known.open.add(round.id);
    else known.open.delete(round.id);
  });
  return node;
}

// The round that holds the target, else the newest.
function leading(target) {
  const rounds = (target && target.rounds) || [];
  const holds = ['ELECTED', 'APPLYING', 'RECOVERING', 'INDETERMINATE'];
  return rounds.find((r) => holds.includes(state(r.state).key)) || rounds[0];
}

function needed(round) {
  const quorum = round.quorum || {};
  return quorum.roster && quorum.roster.length ? quorum.roster.length : quorum.parties || 0;
}

function quorumText(quorum) {
  return quorum.roster && quorum.roster.length ? quorum.roster.join(', ') : plural(quorum.parties || 0, 'party', 'parties');
}

function roundSections(round, target, current) {
  return [pathSection(round), outcomeSection(round), partiesSection(round, target), stepsSection(round),
    current ? visitsSection(target) : null].filter(Boolean);
}

// How far the round has come.
function pathSection(round) {
  const s = state(round.state);
  const ends = ['SUCCEEDED', 'FAILED', 'INDETERMINATE', 'EXPIRED', 'DISSOLVED', 'SUPERSEDED'];
  const stations = ['GATHERING', 'ELECTED', 'APPLYING'];
  if (s.key === 'RECOVERING') stations.push('RECOVERING');
  const ended = ends.includes(s.key);
  const never = ended && !round.electedAt;  // it ended while it gathered
  const shown = never ? ['GATHERING'] : stations;
  const at = ended ? shown.length : shown.indexOf(s.key);
  const items = shown.map((key, i) => h('li', {'data-at': i < at ? 'past' : i === at ? 'here' : 'ahead', 'aria-current': i === at && 'step'},
    STATES[key][0]));
  items.push(h('li', {'data-at': ended ? 'here' : 'ahead', 'aria-current': ended && 'step'}, ended ? s.text : 'Outcome'));
  return h('section', null, h('h2', {class: 'visually-hidden'}, 'State'), h('ol', {class: 'path', 'data-tone': s.tone}, items));
}

function outcomeSection(round) {
  const s = state(round.state);
  const notes = [];
  const outcome = round.outcome;
  if (outcome) {
    const details = [
      outcome.applierParty ? `applied by ${outcome.applierParty}` : '',
      outcome.stepsDone ? plural(outcome.stepsDone, 'step', 'steps') : '',
      outcome.took && parseFloat(outcome.took) > 0 ? `in ${seconds(outcome.took)}` : '',
      outcome.failedStep ? `at step ${outcome.failedStep}` : '',
      outcome.exitCode ? `exit code ${outcome.exitCode}` : '',
      outcome.inTarget ? 'stands in the target\'s own outcome table' : '',
    ].filter(Boolean).join(' · ');
    notes.push(h('p', {class: 'note', 'data-tone': s.tone, 'data-outcome': s.key}, outcome.message || s.text, details ? h('small', null, details) : null));
  }
  if (round.severReason) notes.push(h('p', {class: 'note', 'data-tone': 'bad'}, `Severed: ${round.severReason}`));
  if (round.waitsFor) notes.push(h('p', {class: 'note', 'data-tone': 'work'}, `Waits: ${round.waitsFor}`));
  for (const other of round.diverged || []) {
    notes.push(h('p', {class: 'note', 'data-tone': 'bad'}, `Disagrees about the plan with ${(other.otherParties || []).join(', ') || 'another round'}.`,
      h('small', null, other.firstDifference || '')));
  }
  return notes.length ? h('section', null, h('h2', {class: 'visually-hidden'}, 'Outcome'), notes) : null;
}

function party(name, tone, how, more) {
  return h('li', {class: 'party', 'data-tone': tone, 'data-party': name, 'data-absent': more && more.absent, 'data-applier': more && more.applier},
    h('p', {class: 'who'}, h('span', {class: 'body', 'aria-hidden': 'true'}), h('span', null, name)),
    how.filter(Boolean).map((line) => h('p', {class: 'how'}, line)));
}

function partiesSection(round, target) {
  const members = round.members || [];
  const standing = (m) => short(m.standing, 'STANDING_');
  const counted = members.filter((m) => standing(m) === 'COUNTED');
  const others = members.filter((m) => standing(m) !== 'COUNTED');
  const present = round.present || counted.length;
  const want = needed(round);
  const over = ['SUCCEEDED', 'FAILED', 'EXPIRED', 'DISSOLVED', 'SUPERSEDED'].includes(state(round.state).key);
  const applier = round.applier || {};
  const tiles = counted.map((m) => {
    const applies = applier.incarnation && m.incarnation === applier.incarnation;
    const applied = over && round.outcome && round.outcome.applierParty === m.party;
    return party(m.party, applies ? 'work' : 'good', [
      h('b', null, applies ? `applier, token ${applier.token || 0}${applier.settling ? ', settles only' : ''}`
        : applied ? `applied it, token ${round.outcome.token || 0}` : over ? 'took part' : 'present'),
      [m.host, m.release, m.joinedAt ? `since ${new Date(m.joinedAt).toLocaleTimeString([], {hour12: false})}` : ''].filter(Boolean).join(' · '),
      m.mayApply ? '' : 'votes only',
    ], {applier: applies});
  });
  const visited = new Map((target.visits || []).map((v) => [v.party, v]));
  for (const name of round.missing || []) {
    const visit = visited.get(name);
    tiles.push(party(name, 'bad', [h('b', null, 'missing'),
      visit ? `was here ${ago(visit.at)} with nothing pending${visit.lastStep ? ` (last step ${visit.lastStep})` : ''}` : ''], {absent: true}));
  }
  const unnamed = over ? 0 : Math.max(0, want - present - (round.missing || []).length);
  for (let i = 0; i < Math.min(unnamed, 12); ++i) tiles.push(party('one more', 'neutral', [h('b', null, 'missing')], {absent: true}));
  if (unnamed > 12) tiles.push(party(`${unnamed - 12} more`, 'neutral', [h('b', null, 'missing')], {absent: true}));
  const words = {REPLACED: 'replaced by a newer process', SURPLUS: 'not on the roster', EXCUSED: 'excused', LAPSED: 'lease over', LEFT: 'left'};
  for (const m of others) {
    tiles.push(party(m.party, standing(m) === 'LAPSED' ? 'bad' : 'neutral',
      [h('b', null, words[standing(m)] || 'not counted'), m.host || ''], {absent: standing(m) === 'LAPSED' || standing(m) === 'LEFT'}));
  }
  return h('section', null, h('h2', null, `Parties: ${present} of ${want}`), h('ul', {class: 'line'}, tiles));
}

function stepsSection(round) {
  const plan = round.plan || {};
  const steps = plan.steps || [];
  if (!steps.length) return null;
  const s = state(round.state);
  const progress = round.progress || null;
  const from = (round.applier && round.applier.fromStep) || 0;
  const outcome = round.outcome || {};
  const at = progress ? progress.stepIndex || 0 : from;
  const applying = s.key === 'APPLYING';
  const done = s.key === 'SUCCEEDED' ? steps.length : s.key === 'FAILED' ? outcome.stepsDone || 0 : applying ? at : progress ? at : 0;
  const look = (step, i) => {
    if (outcome.failedStep && step.id === outcome.failedStep && s.key !== 'SUCCEEDED') return ['✕', 'bad', 'failed'];
    if (i < done) return ['✓', 'good', 'done'];
    if (applying && i === at) return ['▶', 'work', 'running'];
    return ['·', 'neutral', 'pending'];
  };
  const first = Math.max(0, Math.min(at - 4, steps.length - STEPS_SHOWN));
  const list = steps.slice(first, first + STEPS_SHOWN).map((step, i) => {
    const [mark, tone, word] = look(step, first + i);
    const tags = [short(step.direction, 'DIRECTION_') === 'DOWN' ? 'down' : '', short(step.stage, 'STAGE_').toLowerCase().replace('_', '-'),
      step.atomic ? '' : 'no transaction'].filter(Boolean).join(' · ');
    const note = applying && first + i === at && progress && progress.note ? progress.note : '';
    return h('li', {'data-step': step.id, 'data-look': word},
      h('span', {class: 'mark', 'data-tone': tone}, h('span', {'aria-hidden': 'true'}, mark), h('span', {class: 'visually-hidden'}, word)),
      h('span', {class: 'id mono'}, plan.opaque ? `opaque plan ${step.id}` : step.id, note ? h('span', {class: 'quiet'}, ` ${note}`) : null),
      h('span', {class: 'tags'}, tags));
  });
  const rest = steps.length - first - STEPS_SHOWN;
  if (first > 0) list.unshift(h('li', {class: 'more'}, `${first} before`));
  if (rest > 0) list.push(h('li', {class: 'more'}, `${rest} more`));
  const percent = Math.round((100 * done) / steps.length);
  return h('section', null,
    h('h2', null, `Plan: ${done} of ${plural(steps.length, 'step', 'steps')} done`),
    bar(percent, s.tone, `${done} of ${steps.length} steps done`),
    h('ol', {class: 'steps'}, list),
    h('p', {class: 'quiet mono plan-id'}, `plan ${String(round.planHash || '').slice(0, 12)} · round ${round.id || ''}`));
}

function bar(percent, tone, label) {
  const fill = h('span');
  fill.style.width = `${percent}%`;
  return h('div', {class: 'bar', 'data-tone': tone, role: 'progressbar', 'aria-valuenow': percent, 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-label': label}, fill);
}

function visitsSection(target) {
  const visits = target.visits || [];
  const excuses = target.excuses || [];
  if (!visits.length && !excuses.length) return null;
  return h('section', null,
    visits.length ? [h('h2', null, 'Came with nothing pending'),
      h('div', {class: 'scroll'}, h('table', null,
        h('thead', null, h('tr', null, ['Party', 'When', 'Last step', 'Release', 'Host'].map((t) => h('th', {scope: 'col'}, t)))),
        h('tbody', null, visits.map((v) => h('tr', {'data-visit': v.party}, h('th', {scope: 'row'}, v.party), h('td', null, ago(v.at)),
          h('td', {class: 'mono'}, v.lastStep || '–'), h('td', null, v.release || '–'), h('td', null, v.host || '–'))))))] : null,
    excuses.map((e) => h('p', {class: 'quiet'}, `${e.party} is excused until ${new Date(e.until).toLocaleString()}: ${e.reason || 'no reason given'}`)));
}

function eventText(event) {
  const kind = short(event.kind, 'EVENT_KIND_');
  if (kind === 'ROUND_MOVED') {
    return `The round ${MOVES[short(event.stateTo, 'ROUND_STATE_')] || 'moved'}${event.text ? `: ${event.text}` : ''}`;
  }
  const words = EVENTS[kind] || kind.toLowerCase().replaceAll('_', ' ');
  const whole = event.party && words[0] === words[0].toLowerCase() ? `${event.party} ${words}` : words;
  return [whole, event.token && kind === 'APPLIER_GRANTED' ? ` under token ${event.token}` : '', event.text ? `: ${event.text}` : '',
    event.actor ? ` (by ${event.actor})` : ''].join('');
}

function eventsCard() {
  return h('section', {class: 'card'}, h('h2', null, 'What happened'),
    known.gap ? h('p', {class: 'quiet'}, 'Some events in between are not shown.') : null,
    known.events.length
      ? h('ol', {class: 'events'}, known.events.map((e) => h('li', null, time(e.at), h('span', {class: 'what'}, eventText(e)))))
      : h('p', {class: 'quiet'}, 'Nothing yet.'));
}

// ---- go ----

by('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, by('token').value.trim());
  by('banner').hidden = true;
  start();
});
by('filter').addEventListener('input', draw);
window.addEventListener('hashchange', () => choose(fromHash() || newest()));
window.addEventListener('online', () => [all, one].forEach((f) => f && f.wake && f.wake()));
let hiding = 0;
function rest(paused) {
  clearTimeout(hiding);
  for (const follower of [all, one]) if (follower) follower.pause(paused);
}
document.addEventListener('visibilitychange', () => {
  if (document.hidden) hiding = setTimeout(() => rest(true), HIDDEN_MS);
  else rest(false);
});
window.addEventListener('pagehide', () => rest(true));
window.addEventListener('pageshow', () => rest(false));
setInterval(draw, 10000);  // so that "12 s ago" does not stand still
setInterval(() => document.hidden || checkReady(), 10000);
checkReady();
start();
