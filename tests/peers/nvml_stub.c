/* A stand-in for libnvidia-ml.so.1. NVML_STUB names a file with the power of each GPU [W], one number a line;
   energy is its integral over time. NVML_STUB_NOENERGY: a GPU before Volta, without the counter. NVML_STUB_LOST:
   number of a GPU that fell off the bus. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_GPUS 16
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, GPU_IS_LOST = 15 };

typedef struct { int index; } device_t;
static device_t devices[MAX_GPUS];
static double last_s[MAX_GPUS], energy_mj[MAX_GPUS];

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static int read_watts(double *watts) {
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    int n = 0;
    if (!file) return 0;
    while (n < MAX_GPUS && fscanf(file, "%lf", watts + n) == 1) n++;
    fclose(file);
    return n;
}

static void integrate(void) {
    double watts[MAX_GPUS], t = now_s();
    int n = read_watts(watts);
    for (int i = 0; i < n; i++) {
        if (last_s[i] > 0) energy_mj[i] += watts[i] * (t - last_s[i]) * 1e3;
        last_s[i] = t;
    }
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; integrate(); return SUCCESS; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) {
    return code == NOT_SUPPORTED ? "Not Supported" : code == GPU_IS_LOST ? "GPU is lost" : "Unknown Error";
}
int nvmlDeviceGetCount_v2(unsigned *count) { double watts[MAX_GPUS]; *count = read_watts(watts); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t **device) {
    double watts[MAX_GPUS];
    if ((int)index >= read_watts(watts)) return INVALID_ARGUMENT;
    if (getenv("NVML_STUB_LOST") && atoi(getenv("NVML_STUB_LOST")) == (int)index) return GPU_IS_LOST;
    devices[index].index = index;
    *device = &devices[index];
    return SUCCESS;
}
int nvmlDeviceGetName(device_t *device, char *text, unsigned size) {
    (void)device;
    snprintf(text, size, "Tesla T4");
    return SUCCESS;
}
int nvmlDeviceGetUUID(device_t *device, char *text, unsigned size) {
    snprintf(text, size, "GPU-%08d-0000-0000-0000-000000000000", device->index);
    return SUCCESS;
}
int nvmlDeviceGetPowerManagementLimitConstraints(device_t *device, unsigned *least_mw, unsigned *most_mw) {
    (void)device;
    *least_mw = 60000;
    *most_mw = 70000;
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(device_t *device, unsigned *power_mw) {
    double watts[MAX_GPUS];
    if (device->index >= read_watts(watts)) return GPU_IS_LOST;
    *power_mw = (unsigned)(watts[device->index] * 1000);
    return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(device_t *device, unsigned long long *total_mj) {
    if (getenv("NVML_STUB_NOENERGY")) return NOT_SUPPORTED;
    integrate();
    *total_mj = (unsigned long long)energy_mj[device->index];
    return SUCCESS;
}
