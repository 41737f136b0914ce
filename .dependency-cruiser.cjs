/**
 * Imports point down only (CONTRIBUTING.md, The house). Each room lists the rooms below it that it may import;
 * test/house/imports.test.ts holds it.
 */
const ROOMS = {
  base: [],
  yaml: ['base'],
  stun: ['base'],
  quic: ['base'],
  turn: ['stun', 'base'],
  mutation: ['quic', 'stun', 'base'],
  ice: ['mutation', 'stun', 'base'],
  verdict: ['mutation', 'stun', 'base'],
  profile: ['mutation', 'yaml', 'stun', 'base'],
  probes: ['ice', 'quic', 'verdict', 'mutation', 'stun', 'base'],
  control: ['probes', 'ice', 'quic', 'verdict', 'mutation', 'stun', 'base'],
  session: ['control', 'probes', 'ice', 'profile', 'quic', 'verdict', 'mutation', 'turn', 'stun', 'yaml', 'base'],
  world: [
    'session',
    'control',
    'probes',
    'ice',
    'profile',
    'quic',
    'verdict',
    'mutation',
    'turn',
    'stun',
    'yaml',
    'base',
  ],
  os: ['base'],
  'world/kernel': ['world', 'os', 'session', 'control', 'probes', 'ice', 'quic', 'verdict', 'mutation', 'stun', 'base'],
  net: ['os', 'session', 'control', 'probes', 'ice', 'quic', 'verdict', 'mutation', 'stun', 'base'],
  report: ['verdict', 'base'],
  commands: [
    'net',
    'world',
    'world/kernel',
    'report',
    'session',
    'control',
    'probes',
    'ice',
    'profile',
    'quic',
    'verdict',
    'mutation',
    'turn',
    'stun',
    'base',
  ],
};

/** Packages, and node's modules with effects, by the rooms that may use them. Whatever is not listed nobody may use. */
const PACKAGES = {
  koffi: ['os'],
  '@peculiar/x509': ['net'],
  'reflect-metadata': ['net'],
  'node-datachannel': ['net'],
  '@roamhq/wrtc': ['net'],
  'cli-table3': ['report', 'commands'],
  pino: ['commands'],
  'pino-pretty': ['commands'],
  yargs: ['commands'],
  yaml: ['yaml'],
  'dns-packet': ['world'],
  ws: ['net'],
  zod: Object.keys(ROOMS),
};

/** Without effects, as far as they are used: imports.test.ts looks at the names. */
const PURE_MODULES = ['crypto', 'net', 'util', 'buffer'];
const EFFECTFUL_ROOMS = ['os', 'net', 'world/kernel', 'commands'];

/** The model is pure; the kernel back end, which is not, has a room within it. */
const PLACES = { probes: '^probes/', world: '^src/world/(?!kernel/)' };
const pathOf = (room) => PLACES[room] ?? `^src/${room}/`;
const anyOf = (rooms) => rooms.map(pathOf).join('|');

module.exports = {
  forbidden: [
    {
      name: 'no-circle',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'resolvable', severity: 'error', from: { pathNot: '^node_modules' }, to: { couldNotResolve: true } },
    ...Object.entries(ROOMS).map(([room, below]) => ({
      name: `${room}-imports-down`,
      severity: 'error',
      from: { path: pathOf(room) },
      to: { path: '^(src|probes)/', pathNot: anyOf([room, ...below]) },
    })),
    {
      name: 'report-sees-only-types-of-verdict',
      severity: 'error',
      from: { path: pathOf('report') },
      to: { path: pathOf('verdict'), dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'cli-imports-commands',
      severity: 'error',
      from: { path: '^src/cli\\.ts$' },
      to: { path: '^(src|probes)/', pathNot: pathOf('commands') },
    },
    {
      name: 'effects-at-the-edge',
      severity: 'error',
      from: { path: '^(src|probes)/', pathNot: `${anyOf(EFFECTFUL_ROOMS)}|^src/cli\\.ts$` },
      to: { dependencyTypes: ['core'], pathNot: `^(node:)?(${PURE_MODULES.join('|')})$` },
    },
    ...Object.entries(PACKAGES).map(([name, rooms]) => ({
      name: `${name}-only-in-${rooms.length === Object.keys(ROOMS).length ? 'rooms' : rooms.join('-and-')}`,
      severity: 'error',
      from: { path: '^(src|probes)/', pathNot: anyOf(rooms) },
      to: { path: `(^|node_modules/)${name}(/|$)` },
    })),
    {
      name: 'no-unlisted-package',
      severity: 'error',
      from: { path: '^(src|probes)/' },
      to: {
        dependencyTypes: ['npm', 'npm-optional', 'npm-dev', 'npm-no-pkg', 'npm-unknown'],
        pathNot: `(^|node_modules/)(${Object.keys(PACKAGES).join('|')}|@types/[^/]+)(/|$)`,
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
