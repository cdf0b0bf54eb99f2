import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { loadConfig } from '../../src/config/load-config.ts';
import { Settings } from '../../src/config/settings.ts';

const at = (path: string) => new URL(`../../${path}`, import.meta.url);
const read = (path: string) => readFileSync(at(path), 'utf8');
const load = (env: Record<string, string>) => loadConfig(env, '/nonexistent/.env');
const unknownSettings = (names: string[]) => names.filter((name) => !(name in Settings.properties));
const nodeMajor = packageJson.devDependencies.node.split('.')[0];
const secondsOf = (text: string) => Number(/^(\d+)s?$/.exec(text)?.[1]);

/** Splits a Dockerfile into stages at each FROM. Drops comments and joins continued lines. */
function stages(dockerfile: string): [name: string, text: string][][] {
  const lines = dockerfile.replace(/^\s*#.*\n/gm, '').replace(/\\\n\s*/g, '');
  const found: [string, string][][] = [];
  for (const line of lines.split('\n').filter((text) => text.trim() !== '')) {
    const [, name = '', text = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
    if (name === 'FROM') found.push([]);
    found.at(-1)?.push([name, text]);
  }
  return found;
}

const all = stages(read('Dockerfile'));
const image = all.at(-1) ?? [];
const textsOf = (name: string) => image.filter((instruction) => instruction[0] === name).map(([, text]) => text);
const imageEnv = Object.fromEntries(
  textsOf('ENV').flatMap((text) =>
    [...text.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]),
  ),
);

t.test('the image has the Node.js version of the project', async (t) => {
  for (const [[, from = ''] = []] of all) t.match(from, new RegExp(`^node:${nodeMajor}-[a-z-]+( AS \\w+)?$`));
});

t.test('the image holds the files and programs of the server', async (t) => {
  for (const name of ['git', 'gh', 'bubblewrap', 'ripgrep', 'ca-certificates', 'tini'])
    t.match(textsOf('RUN').join(), ` ${name} `);
  const copied = textsOf('COPY')
    .filter((text) => !text.startsWith('--from'))
    .flatMap((text) => text.split(' ').slice(0, -1));
  t.ok(['package.json', 'bin', 'src', 'plugins', 'schemas'].every((path) => copied.includes(path)));
  t.same(
    copied.filter((path) => !existsSync(at(path))),
    [],
    'every copied path exists',
  );
  t.same(textsOf('CMD'), ['["node", "src/main.ts"]']);
});

t.test('each stage holds the imports of its files', async (t) => {
  const filesIn = (path: string): string[] =>
    statSync(at(path)).isDirectory()
      ? readdirSync(at(path), { recursive: true, encoding: 'utf8' })
          .map((name) => `${path}/${name}`)
          .filter((name) => statSync(at(name)).isFile())
      : [path];
  for (const stage of all) {
    const given = stage
      .filter(([name, text]) => name === 'COPY' && !text.startsWith('--from'))
      .flatMap(([, text]) => text.split(' ').slice(0, -1))
      .flatMap(filesIn)
      .filter((path) => !/^(?:client|dashboard)\/dist\//.test(path));
    const missing = given
      .filter((path) => /\.(?:tsx?|mjs)$/.test(path) && !path.startsWith('standins/sample/'))
      .flatMap((path) =>
        [...read(path).matchAll(/^(?:import|export) (?!type\b)[^;']*\bfrom '(\.\.?\/[^']+)'/gm)].map(([, to = '']) =>
          join(dirname(path), to),
        ),
      )
      .filter((path) => !given.includes(path));
    t.same(missing, [], stage[0]?.[1] ?? '');
  }
});

t.test('.dockerignore excludes all but the copied files', async (t) => {
  const lines = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  t.equal(lines[0], '*');
  t.ok(lines.slice(1).every((line) => line.startsWith('!')));
  const copied = all.flat().filter(([name, text]) => name === 'COPY' && !text.startsWith('--from'));
  const needed = new Set(copied.flatMap(([, text]) => text.split(' ').slice(0, -1)));
  t.same(new Set(lines.slice(1).map((line) => line.slice(1))), needed);
});

t.test('the container does not run as root and holds no secret', async (t) => {
  t.same(textsOf('USER'), ['node']);
  t.ok(image.findIndex(([name]) => name === 'USER') < image.findIndex(([name]) => name === 'CMD'));
  const { NODE_ENV, NODE_COMPILE_CACHE, ...settings } = imageEnv;
  t.equal(NODE_ENV, 'production');
  t.equal(
    NODE_COMPILE_CACHE,
    '/data/compile-cache',
    'in a folder that only the server can write; a restore expects it',
  );
  t.same(unknownSettings(Object.keys(settings)), []);
  t.notMatch(JSON.stringify(all), /KEY=|TOKEN=|PASSWORD/);
});

t.test('the server in the image listens on all addresses, so it needs an API key', async (t) => {
  const { NODE_ENV: _, NODE_COMPILE_CACHE: __, ...settings } = imageEnv;
  t.match(load(settings), {
    HOST: '0.0.0.0',
    DATA_DIR: '/data',
    TICKETS_ROOT: '/tickets',
  });
  t.same(textsOf('EXPOSE'), [imageEnv.PORT]);
});

t.test('the health check fails unless the server answers with success', async (t) => {
  const [program = '', ...args] = Value.Parse(
    Type.Array(Type.String()),
    JSON.parse(/CMD (\[.*\])$/.exec(textsOf('HEALTHCHECK')[0] ?? '')?.[1] ?? ''),
  );
  t.equal(program, 'node');
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/livez' && healthy ? 200 : 503).end();
  }).listen(0, '127.0.0.1');
  let healthy = true;
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server listens on no port.');
  const check = async () => {
    const child = spawn(process.execPath, args, { env: { PORT: String(address.port) }, stdio: 'ignore' });
    return (await once(child, 'exit'))[0];
  };
  t.equal(await check(), 0);
  healthy = false;
  t.equal(await check(), 1);
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
  t.equal(await check(), 1);
});

const Compose = Type.Object({
  services: Type.Object({
    pullwright: Type.Object({
      image: Type.String(),
      env_file: Type.Literal('.env'),
      environment: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])),
      ports: Type.Array(Type.String()),
      volumes: Type.Array(Type.String()),
      security_opt: Type.Array(Type.String()),
      cap_drop: Type.Array(Type.String()),
      stop_grace_period: Type.String(),
    }),
  }),
  volumes: Type.Record(Type.String(), Type.Null()),
});

t.test(
  'docker-compose.yml publishes on loopback, keeps data in volumes and grants what the sandbox needs',
  async (t) => {
    const text = read('docker-compose.yml');
    const { services, volumes } = Value.Parse(Compose, parse(text));
    const { pullwright } = services;
    const { API_KEY, ...environment } = pullwright.environment;
    const settings = load({
      ...Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, String(value)])),
      API_KEY: 'k'.repeat(16),
    });

    t.match(pullwright.image, /:(?!latest$)[\w.-]+$/);
    t.same(unknownSettings(Object.keys(pullwright.environment)), []);
    t.match(API_KEY, /^\$\{API_KEY:\?.+\}$/, 'compose requires the key');
    t.same(pullwright.ports, [`127.0.0.1:${settings.PORT}:${settings.PORT}`]);
    const mounted = pullwright.volumes.map((volume) => volume.split(':'));
    t.same(
      mounted.map(([, path]) => path),
      [settings.DATA_DIR, settings.TICKETS_ROOT],
    );
    t.same(
      mounted.map(([name]) => name),
      Object.keys(volumes),
      'the volumes are named',
    );
    t.ok(secondsOf(pullwright.stop_grace_period) > settings.SHUTDOWN_SECONDS);
    t.same(pullwright.security_opt.toSorted(), [
      'apparmor:unconfined',
      'no-new-privileges:true',
      'seccomp:unconfined',
      'systempaths=unconfined',
    ]);
    t.same(pullwright.cap_drop, ['ALL']);
    t.notMatch(text, /^\s*(privileged|cap_add|network_mode|pid|user):|docker\.sock/m);
  },
);

/** Asserts that one volume holds both folders and that the health check needs no key. */
function assertDeployable(t: Test, mountPath: string, path: string, env: Record<string, string>): void {
  t.same(unknownSettings(Object.keys(env)), []);
  const { DATA_DIR, TICKETS_ROOT, HOST } = load({ ...env, HOST: '0.0.0.0', API_KEY: 'k'.repeat(16) });
  t.equal(HOST, imageEnv.HOST);
  t.not(DATA_DIR, TICKETS_ROOT);
  for (const folder of [DATA_DIR, TICKETS_ROOT]) t.equal(dirname(folder), mountPath);
  t.equal(path, '/livez', '/livez answers even when agents cannot start');
}

t.test('railway.json matches its reference and stops one server before the next starts', async (t) => {
  const Seconds = Type.Integer({ minimum: 0 });
  const Railway = Type.Object(
    {
      $schema: Type.Literal('https://railway.com/railway.schema.json'),
      build: Type.Object(
        { builder: Type.Literal('DOCKERFILE'), dockerfilePath: Type.Literal('Dockerfile') },
        { additionalProperties: false },
      ),
      deploy: Type.Object(
        {
          numReplicas: Type.Literal(1),
          healthcheckPath: Type.String(),
          healthcheckTimeout: Seconds,
          overlapSeconds: Type.Literal(0),
          drainingSeconds: Seconds,
          restartPolicyType: Type.Literal('ON_FAILURE'),
          restartPolicyMaxRetries: Seconds,
        },
        { additionalProperties: false },
      ),
    },
    { additionalProperties: false },
  );
  const { deploy } = Value.Decode(Railway, JSON.parse(read('deploy/railway.json')));
  const [, DATA_DIR = '', TICKETS_ROOT = ''] =
    /`DATA_DIR=(\S+)`\s+and\s+`TICKETS_ROOT=(\S+)`/.exec(read('docs/deploy.md')) ?? [];
  assertDeployable(t, '/data', deploy.healthcheckPath, { DATA_DIR, TICKETS_ROOT });
  t.ok(deploy.drainingSeconds > load({}).SHUTDOWN_SECONDS);
  t.same(textsOf('VOLUME'), [], 'Railway refuses an image with VOLUME');
});

t.test('render.yaml matches its reference and holds no secret', async (t) => {
  const Variable = Type.Union([
    Type.Object({ key: Type.String(), value: Type.String() }, { additionalProperties: false }),
    Type.Object({ key: Type.String(), generateValue: Type.Literal(true) }, { additionalProperties: false }),
    Type.Object({ key: Type.String(), sync: Type.Literal(false) }, { additionalProperties: false }),
  ]);
  const Service = Type.Object(
    {
      type: Type.Literal('web'),
      name: Type.String(),
      runtime: Type.Literal('docker'),
      plan: Type.String(),
      dockerfilePath: Type.Literal('./Dockerfile'),
      dockerContext: Type.Literal('.'),
      healthCheckPath: Type.String(),
      autoDeploy: Type.Boolean(),
      disk: Type.Object(
        { name: Type.String(), mountPath: Type.String(), sizeGB: Type.Integer({ minimum: 1 }) },
        { additionalProperties: false },
      ),
      envVars: Type.Array(Variable),
    },
    { additionalProperties: false },
  );
  const Blueprint = Type.Object({ services: Type.Tuple([Service]) }, { additionalProperties: false });
  const { services } = Value.Decode(Blueprint, parse(read('deploy/render.yaml')));
  const [{ disk, healthCheckPath, envVars }] = services;
  const given = Object.fromEntries(
    envVars.map((variable) => [variable.key, 'value' in variable ? variable.value : '']),
  );
  t.same(unknownSettings(Object.keys(given)), []);
  t.same(
    envVars.filter(({ key }) => /KEY$|TOKEN$/.test(key)).filter((variable) => 'value' in variable),
    [],
  );
  const { DATA_DIR = '', TICKETS_ROOT = '' } = given;
  assertDeployable(t, disk.mountPath, healthCheckPath, { DATA_DIR, TICKETS_ROOT });
});

t.test('the systemd unit allows the sandbox and passes keys as credentials', async (t) => {
  const lines = read('deploy/pullwright.service')
    .split('\n')
    .filter((line) => /^\w+=/.test(line));
  const values = (name: string) =>
    lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));
  const environment = values('Environment').map((line) => ({
    name: line.replace(/=.*/, ''),
    value: line.replace(/^\w+=/, ''),
  }));
  const names = environment.map(({ name }) => name);

  t.same(unknownSettings(names.filter((name) => !/^NODE_(?:ENV|COMPILE_CACHE)$/.test(name))), []);
  t.same(
    names.filter((name) => /KEY$|TOKEN$/.test(name)),
    [],
  );
  const credentials = values('LoadCredential').map((line) => `%d/${line.split(':')[0]}`);
  t.same(
    environment.map(({ value }) => value).filter((value) => value.startsWith('%d/')),
    credentials,
  );
  t.same(values('ExecStart'), ['/opt/pullwright/node_modules/.bin/node src/main.ts']);
  t.notMatch(values('User'), [/^(root|0|)$/]);
  t.ok(secondsOf(values('TimeoutStopSec')[0] ?? '') > load({}).SHUTDOWN_SECONDS);
  t.match(values('Delegate')[0], /memory.*pids.*cpu/, 'the server may create cgroups');
  t.same([values('DelegateSubgroup'), values('OOMPolicy')], [['pullwright.server'], ['continue']]);
  const breaking =
    /^(RestrictNamespaces|PrivateUsers|Protect(ControlGroups|Hostname|Proc|KernelTunables|KernelLogs)|ProcSubset|MemoryDenyWriteExecute)=/;
  t.same(
    lines.filter((line) => breaking.test(line)),
    [],
  );
});

t.test('docs/configuration.md matches the current settings', async (t) => {
  const args = [fileURLToPath(at('scripts/configuration-docs.ts')), '--check'];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.equal(status, 0, stderr);
});

t.test('the package of the client has the version and the libraries of the server', async (t) => {
  const Package = Type.Object({ version: Type.String(), dependencies: Type.Record(Type.String(), Type.String()) });
  const [server, client] = ['package.json', 'client/package.json'].map((file) =>
    Value.Parse(Package, JSON.parse(read(file))),
  );
  t.equal(client?.version, server?.version);
  t.match(server?.dependencies, client?.dependencies);
});

t.test('the lock file lists the optional packages of every platform', async (t) => {
  const Package = Type.Object({ optionalDependencies: Type.Optional(Type.Record(Type.String(), Type.String())) });
  const Lock = Type.Object({ packages: Type.Record(Type.String(), Package) });
  const { packages } = Value.Parse(Lock, JSON.parse(read('package-lock.json')));
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter((name) => {
      const parents = path
        .split('/node_modules/')
        .map((_, index, parts) => parts.slice(0, index + 1).join('/node_modules/'));
      const candidates = ['', ...parents].map((parent) => `${parent === '' ? '' : `${parent}/`}node_modules/${name}`);
      return !candidates.some((candidate) => candidate in packages);
    }),
  );
  t.same(missing, []);
});
