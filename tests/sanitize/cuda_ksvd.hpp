// The part of cuda_driver.cpp that runs the ksvd family.
#pragma once

// The number of failures, each of which has been printed.
int run_cuda_ksvd();
