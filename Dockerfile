# The image for your own cluster. The test cluster builds the same content without a daemon: scripts/build-image.sh.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY src ./src
RUN npx esbuild canarygate=src/main.ts --bundle --splitting --platform=node --target=node24 --format=esm --minify-syntax --outdir=dist/app --out-extension:.js=.mjs \
    --external:@kubernetes/client-node \
    --banner:js="import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

FROM gcr.io/distroless/nodejs24-debian12:nonroot
WORKDIR /app
COPY --from=build /src/dist/app ./
ENV NODE_ENV=production NODE_OPTIONS=--max-old-space-size-percentage=70
USER 65532
ENTRYPOINT ["/nodejs/bin/node", "/app/canarygate.mjs"]
