FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY client/package.json client/
# No package of the server needs its install script, and the image brings Node.js.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force

FROM node:24-bookworm-slim AS dashboard
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY client/package.json client/
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY schemas schemas
COPY client client
COPY dashboard dashboard
COPY scripts/build-dashboard.ts scripts/
RUN node scripts/build-dashboard.ts

FROM node:24-bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      bubblewrap ca-certificates gh git ripgrep tini \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o node -g node -m 0700 /data /tickets \
 && ln -s /app/bin/pullwright.mjs /usr/local/bin/pullwright

WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY --from=dashboard /app/dashboard/dist dashboard/dist
COPY package.json LICENSE ./
COPY schemas schemas
COPY client client
COPY plugins plugins
COPY src src
COPY standins standins
COPY bin bin

# On this HOST the server does not start without an API_KEY.
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/data/compile-cache \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    TICKETS_ROOT=/tickets
USER node
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--"]
CMD ["node", "src/main.ts"]
