# traefik-bg itself. PYTHON_IMAGE may name any image with Python 3.11 or newer, pip and openssl.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/traefik-bg
# Dependencies change less often than the code: they have a layer of their own.
COPY pyproject.toml ./
RUN python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
      print(*p["project"]["dependencies"], sep="\n")' >requirements.txt \
 && python -m pip --python /opt/traefik-bg install -r requirements.txt
COPY README.md LICENSE ./
COPY traefik_bg traefik_bg
RUN python -m pip --python /opt/traefik-bg install --no-deps .

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/traefik-bg /opt/traefik-bg
ENV PATH=/opt/traefik-bg/bin:$PATH PYTHONUNBUFFERED=1
ENTRYPOINT ["traefik-bg"]
CMD ["run"]
