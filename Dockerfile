# xalign with exactly the tested versions:
#   docker build --tag xalign .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/data:/data:ro" --volume "$PWD/runs:/runs" xalign doctor --data /data
# Another build of torch (for CPUs alone; cu126 for V100) takes the options of pip that PyTorch's page names for it:
#   docker build --tag xalign:cu126 --build-arg TORCH_OPTIONS="..." .
# MLflow's pages listen on the container's own 127.0.0.1: serve them outside (make ui), or with `docker run --network host`.
FROM python:3.11-slim

# DeepSpeed and --compile build their operations with it.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/xalign
COPY constraints/cpu.txt constraints/
# First and alone: those options concern no other package, and this large layer outlives changes of the source.
ARG TORCH_OPTIONS=
RUN pip install --no-cache-dir --no-deps $TORCH_OPTIONS --constraint constraints/cpu.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY xalign xalign/
RUN pip install --no-cache-dir --constraint constraints/cpu.txt ".[adapters,slurm]"
COPY accelerate_configs accelerate_configs/
COPY ds_configs ds_configs/

# Any user id may be given to `docker run`: what is written stands in volumes, and none of it needs a home.
RUN useradd --create-home xalign && mkdir --mode 1777 /data /runs /cache
ENV XALIGN_CACHE=/cache/xalign HF_HOME=/cache/huggingface MPLCONFIGDIR=/cache/matplotlib
VOLUME ["/data", "/runs", "/cache"]
USER xalign
WORKDIR /
ENTRYPOINT ["xalign"]
CMD ["--help"]
