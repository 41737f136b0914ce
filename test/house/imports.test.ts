import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { ROOT, sourcesIn, type Source } from '../support/sources.js';
import { nodesOf } from '../support/syntax.js';

test('imports point down only, and packages stay in their rooms', async () => {
  const rules = createRequire(import.meta.url)(join(ROOT, '.dependency-cruiser.cjs')) as IConfiguration;
  const { output } = await cruise(
    ['src', 'probes'],
    { ...rules.options, baseDir: ROOT, validate: true, ruleSet: rules },
    {},
    { tsConfig: extractTSConfig(join(ROOT, 'tsconfig.json')) },
  );
  const { summary } = output as ICruiseResult;
  expect(summary.totalCruised).toBeGreaterThan(10);
  expect(summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`)).toEqual([]);
});

/** Rooms that may touch the machine. */
const EDGE = /^src\/(os|net|commands|world\/kernel)\/|^src\/cli\.ts$/;
const inside = sourcesIn('src', 'probes').filter(({ path }) => !EDGE.test(path));

const EFFECTFUL_PROPERTIES = new Set(['Date.now', 'Math.random', 'performance.now', 'crypto.getRandomValues']);
const EFFECTFUL_GLOBALS = new Set([
  ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch', 'process', 'console', 'globalThis'],
]);

test('time, timers, randomness and the process are touched at the edge alone', () => {
  expect(inside.flatMap(effectsIn)).toEqual([]);
});

/** Of `node:crypto`, `node:net` and `node:util` only what is a function of its arguments. */
const PURE_NAMES: Readonly<Record<string, readonly string[]>> = {
  'node:crypto': [
    ...['createHmac', 'hash', 'createHash', 'timingSafeEqual', 'hkdfSync', 'createCipheriv', 'createDecipheriv'],
    ...['createPublicKey', 'createPrivateKey', 'createECDH', 'diffieHellman', 'verify', 'X509Certificate', 'constants'],
  ],
  'node:net': ['isIP', 'isIPv4', 'isIPv6'],
  'node:util': ['stripVTControlCharacters'],
  'node:buffer': ['Buffer'],
};

/** Which of their other functions are such where they are used, and why. */
const PURE_THERE: Readonly<Record<string, { readonly names: readonly string[]; readonly why: string }>> = {
  'src/world/virtual-identity.ts': { names: ['sign'], why: 'of Ed25519, which draws nothing (RFC 8032 §5.1.6)' },
};

test('inside, modules of node are used for pure functions only', () => {
  expect(inside.flatMap(impureImportsOf)).toEqual([]);
});

test('the two tests above do find what they look for', () => {
  const bad = {
    path: 'bad.ts',
    text: `import { randomBytes } from 'node:crypto';
      import * as everything from 'node:net';
      const note = 'Date.now() in a text'; // Math.random() in a comment
      export const now = Date.now() + new Date().getTime();
      export const later = setTimeout(() => process.exit(), 1);
      export const fine = { process: new Date(0), console: everything };`,
  };
  expect(effectsIn(bad)).toEqual([
    'bad.ts:4: Date.now',
    'bad.ts:4: new Date()',
    'bad.ts:5: setTimeout',
    'bad.ts:5: process',
  ]);
  expect(impureImportsOf(bad)).toEqual(['bad.ts:1: randomBytes of node:crypto', 'bad.ts:2: all of node:net']);
});

type Text = Pick<Source, 'path' | 'text'>;

function effectsIn(source: Text): string[] {
  return nodesOf(source).flatMap(({ node, at }) => {
    if (ts.isPropertyAccessExpression(node) && EFFECTFUL_PROPERTIES.has(node.getText())) {
      return [`${at}: ${node.getText()}`];
    }
    if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0) {
      return [`${at}: new Date()`];
    }
    return ts.isIdentifier(node) && EFFECTFUL_GLOBALS.has(node.text) && isValue(node) ? [`${at}: ${node.text}`] : [];
  });
}

/** An identifier that is read: not the name of a property, a parameter, a type. */
function isValue(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  return ts.isCallExpression(parent) || ts.isNewExpression(parent) || ts.isElementAccessExpression(parent);
}

function impureImportsOf(source: Text): string[] {
  return nodesOf(source).flatMap(({ node, at }) => {
    if (!ts.isImportDeclaration(node) || !ts.isStringLiteral(node.moduleSpecifier)) return [];
    const name = node.moduleSpecifier.text;
    const clause = node.importClause;
    if (!name.startsWith('node:') || clause?.phaseModifier === ts.SyntaxKind.TypeKeyword) return [];
    const bindings = clause?.namedBindings;
    if (bindings === undefined || !ts.isNamedImports(bindings)) return [`${at}: all of ${name}`];
    return bindings.elements
      .filter((element) => !element.isTypeOnly)
      .map((element) => (element.propertyName ?? element.name).text)
      .filter((imported) => PURE_NAMES[name]?.includes(imported) !== true)
      .filter((imported) => PURE_THERE[source.path]?.names.includes(imported) !== true)
      .map((imported) => `${at}: ${imported} of ${name}`);
  });
}
